"""Authz: an account lets another make some calls for it, for some time and so much money.

| file                | holds                                                        |
|---------------------|--------------------------------------------------------------|
| `pallet.py`         | `AuthzPallet`: grant, exec, revoke, queries, expiry          |
| `authorizations.py` | what each kind of authorization allows                       |
| `types.py`          | schema, events, capabilities                                 |
| `errors.py`         | refusals                                                     |
"""
