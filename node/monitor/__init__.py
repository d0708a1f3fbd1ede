"""What a running process tells those who watch it: metrics, whether it lives, whether it is ready.

| file          | holds                | duty                                                     |
|---------------|----------------------|----------------------------------------------------------|
| `probe.py`    | `probe`              | asks such a URL once, for health checks                  |
| `server.py`   | `MonitorServer`      | `/metrics`, `/healthz` and `/readyz` over HTTP           |
| `meters.py`   | `MeteredApplication` | counts and times what an engine asks of the application  |
| `look.py`     | `EngineLook`         | height, peers and mempool of either engine               |
| `collector.py`| `NodeCollector`      | what is read when somebody asks: engine, disk, runs      |
| `node_monitor.py` | `NodeMonitor`    | all of it together, for one node                         |

Participants use `server.py` too, by way of the command line. Names and meanings of the metrics:
docs/metrics.md.
"""
