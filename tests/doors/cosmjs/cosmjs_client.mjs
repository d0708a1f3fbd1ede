// What CosmJS sees of a node by its CometBFT RPC; run by the tests beside it. Prints one JSON
// document. Arguments: http://HOST:PORT, private key in hex, an address to send to, "short" or
// "full".
import { createRequire } from 'node:module';

const require = createRequire(process.env.COSMJS_MODULES + '/');
const { Secp256k1Wallet } = require('@cosmjs/amino');
const { DirectSecp256k1Wallet } = require('@cosmjs/proto-signing');
const stargate = require('@cosmjs/stargate');
const { Comet38Client, connectComet } = require('@cosmjs/tendermint-rpc');
const { TxRaw } = require('cosmjs-types/cosmos/tx/v1beta1/tx');
const { TextProposal, VoteOption } = require('cosmjs-types/cosmos/gov/v1beta1/gov');

const [url, secret, receiver, extent] = process.argv.slice(2);
const wallet = await DirectSecp256k1Wallet.fromKey(Buffer.from(secret, 'hex'), 'descent');
const [{ address }] = await wallet.getAccounts();
const options = {
  gasPrice: stargate.GasPrice.fromString('0.001udsc'),
  broadcastPollIntervalMs: 200,
};
const client = await stargate.SigningStargateClient.connectWithSigner(url, wallet, options);
const seen = { address };

seen.chainId = await client.getChainId();
const height = await client.getHeight();
seen.height = height;
const block = await client.getBlock(height);
seen.blockIsThatHeight = block.header.height === height && /^[0-9A-F]{64}$/.test(block.id);
seen.account = await client.getAccount(address);
seen.denoms = (await client.getAllBalances(address)).map((coin) => coin.denom);

// A transfer, its gas found by simulation; the transaction by hash and by events.
const before = BigInt((await client.getBalance(receiver, 'udsc')).amount);
const sent = await client.sendTokens(address, receiver, stargate.coins(4321, 'udsc'), 'auto', 'memo');
stargate.assertIsDeliverTxSuccess(sent);
seen.received = BigInt((await client.getBalance(receiver, 'udsc')).amount) - before;
seen.gas = [sent.gasUsed, sent.gasWanted];
const transfer = [
  ['transfer.sender', address],
  ['transfer.recipient', receiver],
].map(([key, value]) => ({ key, value }));
const found = await client.getTx(sent.transactionHash);
seen.found = {
  height: found.height === sent.height,
  code: found.code,
  events: [...new Set(found.events.map((event) => event.type))].sort(),
};
seen.searched = (await client.searchTx(transfer)).map((tx) => tx.hash).includes(sent.transactionHash);
const text = `tx.height=${sent.height} AND transfer.recipient='${receiver}'`;
seen.searchedByText = (await client.searchTx(text)).map((tx) => tx.hash);
seen.hash = sent.transactionHash;
seen.nothing = await client.getTx('AB'.repeat(32));

// A subscription: two blocks, and a transaction sent meanwhile.
const socket = await Comet38Client.connect(url.replace('http', 'ws'));
const take = (stream, count) =>
  new Promise((resolve, reject) => {
    const taken = [];
    const subscription = stream.subscribe({
      next: (event) => {
        taken.push(event);
        if (taken.length === count) {
          subscription.unsubscribe();
          resolve(taken);
        }
      },
      error: reject,
    });
  });
const events = take(socket.subscribeTx(`transfer.recipient='${receiver}'`), 1);
const blocks = take(socket.subscribeNewBlockHeader(), 2);
await take(socket.subscribeNewBlock(), 1); // subscriptions are taken in order: both live now
const watched = await client.sendTokens(address, receiver, stargate.coins(1, 'udsc'), 'auto');
const headers = await blocks;
seen.nextBlock = headers[1].height - headers[0].height;
const [event] = await events;
seen.watched = [event.height === watched.height, event.result.code];
socket.disconnect();

// Refusals: more than there is, and a fee too low for the node.
seen.tooMuch = await client
  .sendTokens(address, receiver, stargate.coins('9'.repeat(18), 'udsc'), stargate.calculateFee(200000, '0.001udsc'))
  .then(({ code, rawLog }) => ({ code, log: rawLog }))
  .catch((error) => ({ code: error.code, codespace: error.codespace, log: error.log }));
seen.noFee = await client
  .sendTokens(address, receiver, stargate.coins(1, 'udsc'), { amount: [], gas: '200000' })
  .catch((error) => ({ code: error.code, codespace: error.codespace, log: error.log }));

if (extent === 'full') {
  // As a hardware wallet signs: Amino JSON.
  const amino = await Secp256k1Wallet.fromKey(Buffer.from(secret, 'hex'), 'descent');
  const ledger = await stargate.SigningStargateClient.connectWithSigner(url, amino, options);
  const fee = stargate.calculateFee(200000, '0.001udsc');
  const shown = await ledger.sendTokens(address, receiver, stargate.coins(3, 'udsc'), fee, 'a <b> & "é"');
  stargate.assertIsDeliverTxSuccess(shown);
  seen.amino = [shown.code, (await client.getTx(shown.transactionHash)).height === shown.height];
  ledger.disconnect();

  const comet = await connectComet(url);
  const query = stargate.QueryClient.withExtensions(
    comet,
    stargate.setupAuthExtension,
    stargate.setupBankExtension,
    stargate.setupDistributionExtension,
    stargate.setupGovExtension,
    stargate.setupMintExtension,
    stargate.setupSlashingExtension,
    stargate.setupStakingExtension,
  );
  const { validators } = await query.staking.validators('BOND_STATUS_BONDED');
  const [first, second] = validators.map((validator) => validator.operatorAddress);
  const run = async (typeUrl, value) => {
    const done = await client.signAndBroadcast(address, [{ typeUrl, value }], 'auto');
    stargate.assertIsDeliverTxSuccess(done);
    return done;
  };

  // Staking there and back.
  const delegated = await client.delegateTokens(address, first, stargate.coin(5000, 'udsc'), 'auto');
  stargate.assertIsDeliverTxSuccess(delegated);
  seen.delegation = await client.getDelegation(address, first);
  await run('/cosmos.staking.v1beta1.MsgBeginRedelegate', {
    delegatorAddress: address,
    validatorSrcAddress: first,
    validatorDstAddress: second,
    amount: stargate.coin(1000, 'udsc'),
  });
  const undelegated = await client.undelegateTokens(address, first, stargate.coin(2000, 'udsc'), 'auto');
  stargate.assertIsDeliverTxSuccess(undelegated);
  seen.delegationAfter = await client.getDelegation(address, first);
  seen.staked = await client.getBalanceStaked(address);
  const { unbondingResponses } = await query.staking.delegatorUnbondingDelegations(address);
  seen.unbonding = unbondingResponses[0].entries[0].balance;
  const { redelegationResponses } = await query.staking.redelegations(address, '', '');
  seen.redelegations = redelegationResponses.length;
  const withdrawn = await client.withdrawRewards(address, first, 'auto');
  stargate.assertIsDeliverTxSuccess(withdrawn);
  seen.withdrew = withdrawn.events.some((item) => item.type === 'withdraw_rewards');

  // Governance.
  const proposed = await run('/cosmos.gov.v1beta1.MsgSubmitProposal', {
    content: {
      typeUrl: '/cosmos.gov.v1beta1.TextProposal',
      value: TextProposal.encode({ title: 'A title', description: 'What for' }).finish(),
    },
    initialDeposit: stargate.coins(10000000, 'udsc'),
    proposer: address,
  });
  const submitted = proposed.events.find((item) => item.type === 'submit_proposal');
  const proposalId = BigInt(submitted.attributes.find((item) => item.key === 'proposal_id').value);
  const option = VoteOption.VOTE_OPTION_YES;
  await run('/cosmos.gov.v1beta1.MsgVote', { proposalId, voter: address, option });
  const { proposal } = await query.gov.proposal(proposalId);
  seen.proposal = { status: proposal.status, type: proposal.content.typeUrl };
  seen.vote = (await query.gov.vote(proposalId, address)).vote.options[0].option;

  // What pages about a chain ask.
  seen.inflation = (await query.mint.inflation()).toString();
  seen.supply = (await query.bank.totalSupply()).supply.map((coin) => coin.denom);
  seen.metadata = (await query.bank.denomMetadata('udsc')).display;
  seen.signing = (await query.slashing.signingInfos()).info.length;
  seen.pool = Object.keys((await query.staking.pool()).pool).sort();
  seen.community = (await query.distribution.communityPool()).pool.length;

  // Broadcast and wait in one call, by CometBFT's own client.
  const plain = await Comet38Client.connect(url);
  const message = {
    typeUrl: '/cosmos.bank.v1beta1.MsgSend',
    value: { fromAddress: address, toAddress: receiver, amount: stargate.coins(2, 'udsc') },
  };
  const signed = await client.sign(address, [message], stargate.calculateFee(200000, '0.001udsc'), '');
  const committed = await plain.broadcastTxCommit({ tx: TxRaw.encode(signed).finish() });
  seen.committed = [committed.checkTx.code, committed.txResult.code, committed.height > 0];
  const results = await plain.blockResults(committed.height);
  seen.results = results.results.length >= 1;
  const validatorsAt = await plain.validatorsAll(committed.height);
  seen.validators = [validatorsAt.count, validatorsAt.total];
  seen.genesis = (await plain.genesis()).chainId;
  seen.minimalInfo = (await plain.abciInfo()).lastBlockHeight > 0;
  plain.disconnect();
  comet.disconnect();
}
client.disconnect();
console.log(JSON.stringify(seen, (key, value) => (typeof value === 'bigint' ? value.toString() : value)));
process.exit(0);
