"""substrate-interface, unchanged, against a real node."""

import time

import pytest
from coincurve import PrivateKey
from substrateinterface import Keypair, KeypairType, SubstrateInterface
from substrateinterface.exceptions import SubstrateRequestException

from node.runtime.addresses import compute_account_address, encode_account
from node.runtime.substrate.accounts import compute_account_id
from node.runtime.substrate.headers import hash_blake2
from tests.doors.substrate.conftest import fund, sign_ecdsa
from tests.support.devnet_node import DevnetNode, get_secret

BOB = Keypair.create_from_uri("//Bob")


def read_free(chain: SubstrateInterface, account: str, block_hash: str | None = None) -> int:
    return chain.query("System", "Account", [account], block_hash=block_hash).value["data"]["free"]


def transfer(chain: SubstrateInterface, dest: str, value: int):
    args = {"dest": dest, "value": value}
    return chain.compose_call("Balances", "transfer_keep_alive", args)


def test_connect(chain: SubstrateInterface, devnet_node: DevnetNode) -> None:
    started = time.process_time()
    chain.init_runtime()
    assert time.process_time() - started < 5
    assert chain.chain == devnet_node.chain_id
    assert (chain.ss58_format, chain.token_symbol, chain.token_decimals) == (42, "DSC", 6)
    assert chain.get_constant("System", "SS58Prefix").value == 42
    assert chain.get_constant("System", "BlockHashCount").value == 4096
    assert chain.get_constant("TransactionPayment", "GasPerCall").value == 1_000_000


def test_query_accounts_of_both_kinds(
    chain: SubstrateInterface, alice: Keypair, devnet_node: DevnetNode
) -> None:
    assert read_free(chain, alice.ss58_address) > 0
    short = compute_account_address(PrivateKey(get_secret("owner")).public_key.format())
    viewed = "0x" + compute_account_id(short).hex()
    head = chain.get_chain_head()
    bank = chain.query("Bank", "Balances", [viewed, "udsc"], block_hash=head).value
    assert read_free(chain, viewed, head) == bank > 0
    assert read_free(chain, Keypair.create_from_uri("//Nobody").ss58_address) == 0
    assert chain.query("Runs", "Runs", [77]).value is None


def test_query_map_in_pages(chain: SubstrateInterface, alice: Keypair) -> None:
    pages = chain.query_map("System", "Account", page_size=3)
    accounts = {key.value: value.value["data"]["free"] for key, value in pages}
    assert len(accounts) > 6
    assert accounts[alice.ss58_address] == read_free(chain, alice.ss58_address, pages.block_hash)
    whole = chain.query_map("System", "Account", page_size=1000, block_hash=pages.block_hash)
    assert [key.value for key, _ in whole] == list(accounts)
    total = sum(accounts.values())
    assert total == chain.query("Balances", "TotalIssuance", block_hash=pages.block_hash).value
    of_one = chain.query_map("Bank", "Balances", [alice.ss58_address], pages.block_hash)
    assert [(key.value, value.value) for key, value in of_one] == [
        ("udsc", accounts[alice.ss58_address])
    ]


def test_state_of_a_past_block(chain: SubstrateInterface, alice: Keypair) -> None:
    before = chain.get_chain_head()
    free = read_free(chain, alice.ss58_address, before)
    call = transfer(chain, BOB.ss58_address, 5)
    receipt = chain.submit_extrinsic(
        chain.create_signed_extrinsic(call, alice), wait_for_inclusion=True
    )
    paid = receipt.total_fee_amount + 5
    assert read_free(chain, alice.ss58_address) == free - paid
    assert read_free(chain, alice.ss58_address, before) == free


def test_blocks(chain: SubstrateInterface) -> None:
    head = chain.get_block()
    number = head["header"]["number"]
    parent = chain.get_block(block_hash=head["header"]["parentHash"])
    assert parent["header"]["number"] == number - 1
    assert chain.get_block_hash(number - 1) == head["header"]["parentHash"]
    first, *others = head["extrinsics"]
    assert first.value["call"]["call_function"] == "set"
    now = chain.query("Timestamp", "Now", block_hash=head["header"]["hash"]).value
    assert first.value["call"]["call_args"][0]["value"] == now
    assert others[0].value["call"]["call_module"] == "Cosmos"
    genesis_hash = chain.query("System", "BlockHash", [0], chain.get_block_hash(2)).value
    assert chain.get_block_hash(0) == genesis_hash  # the newest state forgets it some day
    assert chain.get_block_hash(10**9) is None
    assert chain.query("System", "Number").value >= number


@pytest.mark.parametrize("kind", [KeypairType.SR25519, KeypairType.ED25519])
def test_transfer(
    chain: SubstrateInterface, devnet_node: DevnetNode, alice: Keypair, kind: int
) -> None:
    sender = alice
    if kind == KeypairType.ED25519:
        sender = Keypair.create_from_seed("0x" + "11" * 32, crypto_type=kind)
        fund(devnet_node, sender.public_key, 1_000_000)
    receiver = Keypair.create_from_seed(f"0x{kind:02x}" + "22" * 31)
    call = transfer(chain, receiver.ss58_address, 1234)
    info = chain.get_payment_info(call, sender)
    nonce = chain.get_account_nonce(sender.ss58_address)
    before = read_free(chain, sender.ss58_address)
    signed = chain.create_signed_extrinsic(call, sender, era={"period": 64}, tip=7)
    receipt = chain.submit_extrinsic(signed, wait_for_finalization=True)
    assert receipt.is_success, receipt.error_message
    assert receipt.finalized
    assert read_free(chain, receiver.ss58_address) == 1234
    assert chain.get_account_nonce(sender.ss58_address) == nonce + 1
    # What it did not use of the bound came back: a transfer uses less than a tenth.
    assert 0 < receipt.total_fee_amount - 7 < info["partialFee"] // 10
    assert read_free(chain, sender.ss58_address) == before - 1234 - receipt.total_fee_amount
    names = [(e.value["module_id"], e.value["event_id"]) for e in receipt.triggered_events]
    assert ("Balances", "Transfer") in names
    assert ("Bank", "Transferred") in names
    assert names[-1] == ("System", "ExtrinsicSuccess")
    moved = next(e for e in receipt.triggered_events if e.value["event_id"] == "Transfer")
    assert moved.value["attributes"] == {
        "from": sender.ss58_address,
        "to": receiver.ss58_address,
        "amount": 1234,
    }


def test_transfer__ecdsa_one_sequence_over_both_formats(
    chain: SubstrateInterface, devnet_node: DevnetNode
) -> None:
    secret = PrivateKey(get_secret("owner"))
    account_id = compute_account_id(compute_account_address(secret.public_key.format()))
    viewed = "0x" + account_id.hex()
    call = transfer(chain, BOB.ss58_address, 10)
    before = chain.query("System", "Account", [viewed]).value["nonce"]
    signed = sign_ecdsa(chain, call, secret, account_id)
    receipt = chain.submit_extrinsic(signed, wait_for_inclusion=True)
    assert receipt.is_success, receipt.error_message
    assert chain.query("System", "Account", [viewed]).value["nonce"] == before + 1
    tx = devnet_node.build_send("owner", "faucet", 3)  # reads the sequence by the other door
    assert tx
    key_hash = hash_blake2(secret.public_key.format())
    fund(devnet_node, key_hash, 100_000)
    receipt = chain.submit_extrinsic(
        sign_ecdsa(chain, call, secret, key_hash), wait_for_inclusion=True
    )
    assert receipt.is_success, receipt.error_message


def test_batch(chain: SubstrateInterface, alice: Keypair) -> None:
    amounts = [{"denom": "udsc", "amount": 7}]
    send = chain.compose_call("Bank", "send", {"to_address": BOB.ss58_address, "amount": amounts})
    before = read_free(chain, BOB.ss58_address)
    calls = [send, transfer(chain, BOB.ss58_address, 8)]
    batch = chain.compose_call("Utility", "batch_all", {"calls": calls})
    signed = chain.create_signed_extrinsic(batch, alice)
    assert chain.submit_extrinsic(signed, wait_for_inclusion=True).is_success
    assert read_free(chain, BOB.ss58_address) == before + 15
    too_much = transfer(chain, BOB.ss58_address, 10**15)
    batch = chain.compose_call("Utility", "batch_all", {"calls": [send, too_much]})
    receipt = chain.submit_extrinsic(
        chain.create_signed_extrinsic(batch, alice), wait_for_inclusion=True
    )
    assert not receipt.is_success
    assert read_free(chain, BOB.ss58_address) == before + 15


def test_errors_are_the_documented_texts(chain: SubstrateInterface, alice: Keypair) -> None:
    stake = {"validator_address": alice.ss58_address, "amount": {"denom": "udsc", "amount": 5}}
    for module, function, args, name, doc in (
        ("Staking", "delegate", stake, "OperatorUnknown", "validator does not exist"),
        ("Runs", "halt_run", {"run_id": 99}, "RunNotFound", None),
        (
            "Balances",
            "transfer_allow_death",
            {"dest": BOB.ss58_address, "value": 10**15},
            "InsufficientFunds",
            "insufficient funds",
        ),
    ):
        call = chain.compose_call(module, function, args)
        signed = chain.create_signed_extrinsic(call, alice)
        receipt = chain.submit_extrinsic(signed, wait_for_inclusion=True)
        assert not receipt.is_success
        assert receipt.error_message["name"] == name
        assert doc is None or receipt.error_message["docs"] == [doc]
        assert receipt.total_fee_amount > 0


def test_header_subscription(chain: SubstrateInterface) -> None:
    seen = []

    def handle(header, update_nr: int, subscription_id: str):
        seen.append(header["header"]["number"])
        return seen if update_nr == 3 else None

    for is_finalized in (False, True):
        seen.clear()
        chain.subscribe_block_headers(handle, finalized_only=is_finalized)
        # The client hands on what comes until it is unsubscribed, too.
        assert seen == list(range(seen[0], seen[0] + max(4, len(seen))))


def test_storage_subscription(
    chain: SubstrateInterface, alice: Keypair, devnet_node: DevnetNode
) -> None:
    receiver = Keypair.create_from_uri("//Watched")
    values = []

    def handle(info, update_nr: int, subscription_id: str):
        values.append(info.value["data"]["free"])
        if update_nr == 0:
            with SubstrateInterface(url=f"ws://127.0.0.1:{devnet_node.substrate_port}") as other:
                call = transfer(other, receiver.ss58_address, 77)
                other.submit_extrinsic(other.create_signed_extrinsic(call, alice))
        return values if update_nr == 1 else None

    chain.query("System", "Account", [receiver.ss58_address], subscription_handler=handle)
    assert values == [0, 77]


def test_events_of_pallets_by_name(chain: SubstrateInterface) -> None:
    events = [event.value for event in chain.get_events()]
    drawn = next(event for event in events if event["event_id"] == "BeaconDrawn")
    assert drawn["module_id"] == "Beacon"
    assert drawn["phase"] == "Finalization"
    assert drawn["attributes"]["num_reveals"] == 1


def test_over_http(devnet_node: DevnetNode, alice: Keypair) -> None:
    client = SubstrateInterface(url=f"http://127.0.0.1:{devnet_node.substrate_port}")
    before = read_free(client, BOB.ss58_address)
    signed = client.create_signed_extrinsic(transfer(client, BOB.ss58_address, 3), alice)
    receipt = client.submit_extrinsic(signed)
    assert receipt.extrinsic_hash == "0x" + signed.extrinsic_hash.hex()
    devnet_node.wait_until(lambda: read_free(client, BOB.ss58_address) != before)
    client.close()
    client.transport.session.close()


def test_nonce_counts_what_waits(
    chain: SubstrateInterface, alice: Keypair, devnet_node: DevnetNode
) -> None:
    nonce = chain.rpc_request("system_accountNextIndex", [alice.ss58_address])["result"]
    call = transfer(chain, BOB.ss58_address, 1)
    for more in range(3):
        chain.submit_extrinsic(chain.create_signed_extrinsic(call, alice, nonce=nonce + more))
        bech32 = encode_account(alice.public_key)
        assert chain.rpc_request("account_nextIndex", [bech32])["result"] == nonce + more + 1

    def get_nonce() -> int:
        return chain.query("System", "Account", [alice.ss58_address]).value["nonce"]

    devnet_node.wait_until(lambda: get_nonce() == nonce + 3)  # the next test counts her coins


def test_invalid_extrinsics(chain: SubstrateInterface, alice: Keypair) -> None:
    call = transfer(chain, BOB.ss58_address, 1)
    nonce = chain.rpc_request("system_accountNextIndex", [alice.ss58_address])["result"]
    poor = Keypair.create_from_uri("//Poor")
    bad = chain.create_signed_extrinsic(call, alice, nonce=nonce, signature="0x" + "01" * 64)
    cases = [
        (chain.create_signed_extrinsic(call, alice, nonce=nonce + 5), "valid in the future"),
        (chain.create_signed_extrinsic(call, alice, nonce=0), "outdated"),
        (chain.create_signed_extrinsic(call, poor, nonce=0), "Inability to pay some fees"),
        (bad, "bad signature"),
        (
            chain.create_signed_extrinsic(
                call, alice, nonce=nonce, era={"period": 4, "current": 3}
            ),
            "a",  # bad signature or, of a block to come, ancient birth block
        ),
    ]
    for extrinsic, text in cases:
        with pytest.raises(SubstrateRequestException) as caught:
            chain.submit_extrinsic(extrinsic, wait_for_inclusion=True)
        assert caught.value.args[0]["code"] == 1010
        assert caught.value.args[0]["message"] == "Invalid Transaction"
        assert text in caught.value.args[0]["data"]
