"""Cosmos REST without I/O: gRPC methods by HTTP path, their messages as JSON.

| file            | holds             | duty                                                       |
|-----------------|-------------------|------------------------------------------------------------|
| `routes.py`     | `collect_routes`  | the routes, from the `google.api.http` options of methods  |
| `templates.py`  | `PathTree`        | path templates, and which one a path fits                  |
| `parameters.py` | `set_parameter`   | texts of path and query string into a request message      |
| `json_form.py`  | `format_message`  | messages as JSON and back, as grpc-gateway of the SDK does |
| `decimals.py`   | `format_decimal`  | fixed-point fields, which JSON writes with a point         |
| `openapi.py`    | `build_document`  | OpenAPI 3 from the same descriptors                        |
| `page.py`       | `build_page`      | the page that lists the routes                             |

Nothing here names a service: a pallet whose methods carry the option has its twins at the next
start. `node/doors/rest_door.py` serves this. Source: google/api/http.proto; grpc-gateway v1
runtime; Cosmos SDK v0.53 server/api.
"""
