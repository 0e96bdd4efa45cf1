// Fills a durable quorum queue and returns once the broker has confirmed every event.
//
// Usage: node fill.mjs loa|node|celery chat|email COUNT [FIRST RATE]; AMQP_URL says where the broker is.
// Loa's queue is there already, with what Loa declares; the others are made anew. With a RATE so many
// come each second, numbered from FIRST on, and the queue is taken as it is.

import { randomUUID } from 'node:crypto';
import amqplib from 'amqplib';

const [peer, channel, count, first, rate] = process.argv.slice(2);
const queue = peer === 'loa' ? 'loa.intake' : 'peer';
const atOnce = 1000;

// The event of `loa bench`, in the words of a shop.
function event(number) {
  const recipient = { name: 'Trần Thị Bích' };
  if (channel === 'email') recipient.email = `bench-${number}@sink.example`;
  else recipient.chat = 'chat';
  return {
    specversion: '1.0', id: String(number), source: 'loa/bench', type: `bench.${channel}`,
    time: new Date().toISOString(), datacontenttype: 'application/json',
    data: {
      order_id: `bench-${number}`, partner_id: 'minh-phat',
      shipped_at: '2026-12-03T14:20:00+07:00', expected_at: '2026-12-05',
      carrier: 'Viettel Post', packages: 24,
      lines: [
        { name: 'Cà phê Robusta rang xay 1 kg', quantity: 20, unit: 'thùng' },
        { name: 'Cà phê Arabica Cầu Đất 500 g', quantity: 4, unit: 'thùng' },
      ],
      recipients: [recipient],
    },
  };
}

// A message as Celery's second protocol has it.
function task(number) {
  const id = randomUUID();
  const body = [[event(number)], {}, { callbacks: null, errbacks: null, chain: null, chord: null }];
  const headers = {
    lang: 'py', task: 'tasks.notify', id, root_id: id, parent_id: null, group: null, shadow: null,
    eta: null, expires: null, retries: 0, timelimit: [null, null], argsrepr: '', kwargsrepr: '{}',
    origin: 'fill', ignore_result: true, replaced_task_nesting: 0, stamped_headers: null, stamps: {},
  };
  const properties = {
    contentType: 'application/json', contentEncoding: 'utf-8', correlationId: id, headers,
    persistent: true, priority: 0,
  };
  return [JSON.stringify(body), properties];
}

function message(number) {
  if (peer === 'celery') return task(number);
  const contentType = 'application/cloudevents+json';
  return [JSON.stringify(event(number)), { contentType, messageId: String(number), persistent: true }];
}

const connection = await amqplib.connect(process.env.AMQP_URL, { noDelay: true });
const publisher = await connection.createConfirmChannel();
if (rate) {
  const began = performance.now();
  for (let sent = 0; sent < Number(count); sent += 1) {
    const early = began + (sent * 1000) / Number(rate) - performance.now();
    if (early > 0) await new Promise((resolve) => setTimeout(resolve, early));
    const [body, properties] = message(Number(first) + sent);
    publisher.publish('', queue, Buffer.from(body), properties);
  }
  await publisher.waitForConfirms();
  await connection.close();
  process.exit();
}
if (peer === 'loa') {
  await publisher.purgeQueue(queue);
} else {
  await publisher.deleteQueue(queue);
  await publisher.assertQueue(queue, { durable: true, arguments: { 'x-queue-type': 'quorum' } });
}
for (let number = 0; number < Number(count);) {
  for (const end = Math.min(number + atOnce, Number(count)); number < end; number += 1) {
    const [body, properties] = message(number);
    publisher.publish('', queue, Buffer.from(body), properties);
  }
  await publisher.waitForConfirms();
}
await connection.close();
