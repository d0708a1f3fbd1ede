// Transactions that CosmJS signs as Amino JSON, as a hardware wallet does; run by test_amino.py.
// Arguments: private key in hex, chain id, account number, operator address. Prints by name the
// bytes of each in hex.
import { createRequire } from 'node:module';

const require = createRequire(process.env.COSMJS_MODULES + '/');
const { Secp256k1Wallet } = require('@cosmjs/amino');
const { encodePubkey } = require('@cosmjs/proto-signing');
const stargate = require('@cosmjs/stargate');
const { TextProposal } = require('cosmjs-types/cosmos/gov/v1beta1/gov');
const { TxRaw } = require('cosmjs-types/cosmos/tx/v1beta1/tx');

const [secret, chainId, number, operator] = process.argv.slice(2);
const wallet = await Secp256k1Wallet.fromKey(Buffer.from(secret, 'hex'), 'descent');
const [{ address }] = await wallet.getAccounts();
const client = await stargate.SigningStargateClient.offline(wallet);
const coin = stargate.coin(1234567, 'udsc');
const coins = [coin];
// CosmJS shows empty texts of a description, and names MsgWithdrawValidatorCommission, otherwise than
// the Cosmos SDK: neither is here.
const description = {
  moniker: 'a "b" <c> & d',
  identity: 'F',
  website: 'https://é.example',
  securityContact: 's',
  details: 'two\nlines',
};
const content = {
  typeUrl: '/cosmos.gov.v1beta1.TextProposal',
  value: TextProposal.encode({ title: 'A title', description: 'What\nfor' }).finish(),
};
const key = encodePubkey({ type: 'tendermint/PubKeyEd25519', value: Buffer.alloc(32, 7).toString('base64') });
const delegation = { delegatorAddress: address, validatorAddress: operator };
const messages = {
  send: ['bank.v1beta1.MsgSend', { fromAddress: address, toAddress: address, amount: coins }],
  multiSend: [
    'bank.v1beta1.MsgMultiSend',
    { inputs: [{ address, coins }], outputs: [{ address, coins }, { address, coins: [] }] },
  ],
  delegate: ['staking.v1beta1.MsgDelegate', { ...delegation, amount: coin }],
  undelegate: ['staking.v1beta1.MsgUndelegate', { ...delegation, amount: coin }],
  redelegate: [
    'staking.v1beta1.MsgBeginRedelegate',
    { delegatorAddress: address, validatorSrcAddress: operator, validatorDstAddress: operator, amount: coin },
  ],
  cancel: ['staking.v1beta1.MsgCancelUnbondingDelegation', { ...delegation, amount: coin, creationHeight: 77n }],
  createOperator: [
    'staking.v1beta1.MsgCreateValidator',
    {
      ...delegation,
      description,
      commission: { rate: '100000000000000000', maxRate: '1000000000000000000', maxChangeRate: '0' },
      minSelfDelegation: '1',
      pubkey: key,
      value: coin,
    },
  ],
  editOperator: [
    'staking.v1beta1.MsgEditValidator',
    { description, validatorAddress: operator, commissionRate: '50000000000000000', minSelfDelegation: '2' },
  ],
  withdraw: ['distribution.v1beta1.MsgWithdrawDelegatorReward', delegation],
  setAddress: [
    'distribution.v1beta1.MsgSetWithdrawAddress',
    { delegatorAddress: address, withdrawAddress: address },
  ],
  fundPool: ['distribution.v1beta1.MsgFundCommunityPool', { amount: coins, depositor: address }],
  propose: ['gov.v1beta1.MsgSubmitProposal', { content, initialDeposit: coins, proposer: address }],
  vote: ['gov.v1beta1.MsgVote', { proposalId: 3n, voter: address, option: 1 }],
  voteWeighted: [
    'gov.v1beta1.MsgVoteWeighted',
    {
      proposalId: 3n,
      voter: address,
      options: [
        { option: 1, weight: '700000000000000000' },
        { option: 3, weight: '300000000000000000' },
      ],
    },
  ],
  deposit: ['gov.v1beta1.MsgDeposit', { proposalId: 3n, depositor: address, amount: coins }],
};
const fee = stargate.calculateFee(200000, '0.001udsc');
const signed = {};
for (const [name, [type, value]] of Object.entries(messages)) {
  const at = { accountNumber: Number(number), sequence: 5, chainId };
  const height = name === 'vote' ? 99n : undefined;
  const message = { typeUrl: `/cosmos.${type}`, value };
  const raw = await client.sign(address, [message], fee, 'memo <&> "é"', at, height);
  signed[name] = Buffer.from(TxRaw.encode(raw).finish()).toString('hex');
}
console.log(JSON.stringify(signed));
