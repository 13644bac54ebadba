// Drives queues of Bull and BullMQ for the tests: a request as JSON on each line of stdin, its answer on stdout.
// Arguments: the folder that node_modules stands in, the port of Redis.
'use strict';
const path = require('node:path');
const readline = require('node:readline');

const [folder, port] = process.argv.slice(2);
const connection = { host: '127.0.0.1', port: Number(port), maxRetriesPerRequest: null };
const open = new Map();

const load = (library) => require(path.join(folder, 'node_modules', library));

function queueOf({ library, prefix, queue }) {
  const key = JSON.stringify([library, prefix, queue]);
  if (!open.has(key)) {
    const made =
      library === 'bull'
        ? new (load(library))(queue, { redis: connection, prefix })
        : new (load(library).Queue)(queue, { connection, prefix });
    made.on('error', () => {});
    open.set(key, made);
  }
  return open.get(key);
}

// Ends when `number` jobs have ended, or begun when the outcome is `active`: those stay with this process.
async function work(request) {
  const { library, prefix, queue, outcome, number } = request;
  let begun = 0;
  let ended = 0;
  let done;
  const enough = new Promise((resolve) => (done = resolve));
  const job = async () => {
    begun += 1;
    if (outcome === 'active') {
      if (begun === number) done();
      return new Promise(() => {});
    }
    if (outcome === 'failed') throw new Error('as the test wants it');
    return null;
  };
  const end = () => {
    ended += 1;
    if (ended === number) done();
  };
  let worker;
  if (library === 'bull') {
    worker = new (load(library))(queue, { redis: connection, prefix });
    worker.process('*', outcome === 'active' ? number : 1, job);
  } else {
    const concurrency = outcome === 'active' ? number : 1;
    worker = new (load(library).Worker)(queue, job, { connection, prefix, concurrency });
  }
  worker.on('error', () => {});
  worker.on('completed', end);
  worker.on('failed', end);
  await enough;
  if (outcome === 'active') open.set(worker, worker);
  else await worker.close();
}

// Forget everything, so that the next test finds no queue.
async function reset() {
  const all = [...open.values()];
  open.clear();
  await Promise.all(all.map((one) => one.close(true)));
}

const calls = {
  add: async (request) => String((await queueOf(request).add('job', { secret: 'data' }, request.opts)).id),
  counts: (request) => queueOf(request).getJobCounts(...(request.types || [])),
  pause: async (request) => void (await queueOf(request).pause()),
  resume: async (request) => void (await queueOf(request).resume()),
  state: async (request) => (await queueOf(request).getJob(request.id)).getState(),
  work,
};

async function answer(line) {
  const request = JSON.parse(line);
  if (request.call === 'reset') return reset();
  const queue = queueOf(request);
  await (queue.waitUntilReady ? queue.waitUntilReady() : queue.isReady());
  return calls[request.call](request);
}

let last = Promise.resolve();
readline.createInterface({ input: process.stdin }).on('line', (line) => {
  last = last.then(() => answer(line)).then(
    (result) => console.log(JSON.stringify({ result: result ?? null })),
    (error) => console.log(JSON.stringify({ error: String(error.stack) })),
  );
}).on('close', () => process.exit(0));
