"""Pure functions on integers and numpy arrays: what the chain pays for, and why.

Map (file: duty):

- `fixed_point`      32-bit fraction arithmetic with named rounding (chain reference, section 1.2)
- `sigmoid_table`    the integer table behind liquid alpha
- `yuma_types`       rows, parameters, input and output of a Yuma epoch, and its errors
- `yuma`             the Yuma epoch in Python integers: this is the definition
- `yuma_fast`        the same epoch in numpy, equal bit for bit, for blocks
- `emission`         supply cap, halvings by issuance, splits whose parts sum exactly, vesting
- `registration`     burn price and the choice of whom a newcomer replaces
- `reasons`          reason codes with their text and how to recompute them
- `audit`            who is audited where and by whom, from a beacon; deterrence arithmetic
- `score`            one round's evidence to a weights row; sign statistic over rounds
- `screen`           duplicate screen over payload hashes and top-k overlap
- `aggregation`      the outer step in exact arithmetic

Nothing here reads a clock, a file, the environment or a random source, and nothing imports torch.
"""
