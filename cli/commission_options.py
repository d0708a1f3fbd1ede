"""Options with which an operator sets its commission, in a genesis and on a chain."""

from typing import Annotated

import typer

CommissionOption = Annotated[
    str, typer.Option("--commission", help="Part of rewards the operator keeps, e.g. 10%.")
]
MaxCommissionOption = Annotated[
    str, typer.Option("--max-commission", help="Never more than this; fixed for ever.")
]
MaxCommissionChangeOption = Annotated[
    str, typer.Option("--max-commission-change", help="Most in a day; fixed for ever.")
]
