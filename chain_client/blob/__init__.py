"""Bytes between participants: kept by their address, served and fetched over gRPC.

| file         | what              | duty                                               |
|--------------|-------------------|----------------------------------------------------|
| `errors.py`  | `BlobError`       | the tree of refusals                               |
| `address.py` | `AddressFunction` | kinds of address; endpoints of strangers           |
| `store.py`   | `BlobStore`       | files by address: atomic, checked, collected       |
| `server.py`  | `BlobServer`      | `descent.blob.v1.BlobService` over some sources    |
| `client.py`  | `BlobClient`      | fetch, resume, bound in size, time and rate, check |

The address is the proof: whoever hands over the bytes is not trusted. How to compute addresses of
other kinds than BLOB is given by the caller (`exact.addresses`).
"""
