// What polkadot.js sees of the door; run by test_substrate_polkadot.py. Prints one JSON document.
import { createRequire } from 'node:module';

const require = createRequire(process.env.POLKADOT_MODULES + '/');
const { ApiPromise, WsProvider, Keyring } = require('@polkadot/api');

const provider = new WsProvider(process.argv[2]);
const api = await ApiPromise.create({ provider, noInitWarn: true });
const keyring = new Keyring({ type: 'sr25519', ss58Format: 42 });
const alice = keyring.addFromUri('//Alice');
const bob = keyring.addFromUri('//Bob');
const seen = {};

seen.chain = (await api.rpc.system.chain()).toString();
seen.decimals = api.registry.chainDecimals[0];
seen.calls = Object.keys(api.tx.runs).sort();

const header = await api.rpc.chain.getHeader();
const hash = await api.rpc.chain.getBlockHash(header.number.toNumber());
seen.headerHashIsOurs = header.hash.toHex() === hash.toHex();

function send(tx, signer, options = {}) {
  return new Promise((resolve, reject) => {
    tx.signAndSend(signer, options, ({ status, events, dispatchError }) => {
      if (!status.isFinalized) return;
      let error = null;
      if (dispatchError && dispatchError.isModule) {
        const found = api.registry.findMetaError(dispatchError.asModule);
        error = { section: found.section, name: found.name, docs: found.docs.join(' ') };
      }
      resolve({ error, events: events.map(({ event }) => `${event.section}.${event.method}`) });
    }).catch(reject);
  });
}

const watched = keyring.addFromUri('//PolkadotWatched');
const balances = [];
const stop = await api.query.system.account(watched.address, (info) => {
  balances.push(info.data.free.toString());
});
seen.transfer = await send(api.tx.balances.transferKeepAlive(watched.address, 4321), alice);
seen.batch = await send(
  api.tx.utility.batchAll([
    api.tx.bank.send(watched.address, [{ denom: 'udsc', amount: 9 }]),
    api.tx.balances.transferAllowDeath(bob.address, 1),
  ]),
  alice,
);
seen.refused = await send(api.tx.runs.haltRun(99), alice);
stop();
seen.balances = balances;

const ecdsa = new Keyring({ type: 'ecdsa', ss58Format: 42 }).addFromUri('//Alice');
const ed25519 = new Keyring({ type: 'ed25519', ss58Format: 42 }).addFromUri('//Alice');
seen.kinds = [];
for (const pair of [ecdsa, ed25519]) {
  await send(api.tx.balances.transferKeepAlive(pair.address, 1000000), alice);
  seen.kinds.push(await send(api.tx.balances.transferKeepAlive(bob.address, 5), pair));
}

const info = await api.tx.balances.transferKeepAlive(bob.address, 1).paymentInfo(alice);
seen.fee = info.partialFee.toNumber();

const numbers = [];
await new Promise(async (resolve) => {
  const end = await api.rpc.chain.subscribeNewHeads((head) => {
    numbers.push(head.number.toNumber());
    if (numbers.length === 3) {
      end();
      resolve();
    }
  });
});
seen.heads = numbers;

const entries = await api.query.system.account.entriesPaged({ args: [], pageSize: 10 });
seen.accounts = entries.length;
const block = await api.rpc.chain.getBlock();
seen.extrinsics = block.block.extrinsics.map((x) => `${x.method.section}.${x.method.method}`);
const events = await api.query.system.events();
seen.events = events.map(({ event }) => `${event.section}.${event.method}`);
seen.constant = api.consts.system.ss58Prefix.toNumber();

console.log(JSON.stringify(seen));
await api.disconnect();
process.exit(0);
