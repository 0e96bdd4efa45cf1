// One Node process that takes events from a queue, sends a message each, and keeps what became of it.
//
// Usage: node worker.mjs chat|email; AMQP_URL, POSTGRES_URL, HTTP_SINK, SMTP_SINK say where things are.
// The queue is called `peer`, the table `dl`.

import net from 'node:net';
import amqplib from 'amqplib';
import nodemailer from 'nodemailer';
import pg from 'pg';
import { Pool } from 'undici';

import { chatBody, mail } from './message.mjs';

const channel = process.argv[2];
const prefetch = 200;

const db = new pg.Pool({ connectionString: process.env.POSTGRES_URL, max: 10 });
const [host, port] = (process.env.SMTP_SINK ?? '').split(':');
const gateway = new Pool(`http://${process.env.HTTP_SINK}`, { connections: 64 });
const relay = nodemailer.createTransport({
  host, port: Number(port), pool: true, maxConnections: 20, maxMessages: Infinity,
  secure: false, ignoreTLS: true,
});
// nodemailer leaves Nagle's algorithm on, which waits for a delayed acknowledgement with every mail.
relay.getSocket = (options, done) => {
  const connection = net.connect({ host, port: Number(port), noDelay: true });
  connection.once('connect', () => done(null, { connection }));
  connection.once('error', done);
};

const insert = {
  name: 'insert',
  text: 'INSERT INTO dl (event_id, channel, recipient, status) VALUES ($1, $2, $3, 1) ' +
    'ON CONFLICT (event_id) DO UPDATE SET attempts = dl.attempts + 1 RETURNING id',
};
const update = {
  name: 'update',
  text: 'UPDATE dl SET status = 2, answer = $2, sent_at = now() WHERE id = $1',
};

async function post(data) {
  const answer = await gateway.request({
    path: '/', method: 'POST', headers: { 'content-type': 'application/json' }, body: chatBody(data),
  });
  await answer.body.dump();
  if (answer.statusCode !== 200) throw new Error(`the gateway said ${answer.statusCode}`);
  return String(answer.statusCode);
}

async function send(data, recipient) {
  if (channel === 'chat') return post(data);
  const answer = await relay.sendMail(mail(data, recipient));
  return answer.response;
}

async function take(message) {
  const event = JSON.parse(message.content.toString());
  const recipient = event.data.recipients[0];
  const to = recipient.email ?? recipient.chat;
  const inserted = await db.query({ ...insert, values: [event.id, channel, to] });
  const answer = await send(event.data, recipient);
  await db.query({ ...update, values: [inserted.rows[0].id, answer] });
}

const connection = await amqplib.connect(process.env.AMQP_URL, { noDelay: true });
const queue = await connection.createChannel();
await queue.prefetch(prefetch);
await queue.consume('peer', (message) => {
  take(message).then(
    () => queue.ack(message),
    (error) => {
      console.error(error);
      queue.nack(message, false, false);
    },
  );
});
process.on('SIGTERM', () => process.exit(0));
