// Renders the message that Loa's own templates make of the event: order.shipped in Vietnamese.

import { readFileSync } from 'node:fs';
import Handlebars from 'handlebars';

const read = (name) => readFileSync(new URL(`templates/${name}`, import.meta.url), 'utf8');

// What a template is given is known, so helpers need not be looked up for every name.
const options = { knownHelpersOnly: true, knownHelpers: { day: true, clock: true, number: true } };
const html = Handlebars.compile(read('email.html'), options);
const text = Handlebars.compile(read('email.txt'), { ...options, noEscape: true });
const chat = Handlebars.compile(read('chat.txt'), { ...options, noEscape: true });

const numbers = new Intl.NumberFormat('vi');
Handlebars.registerHelper({
  day: (date) => `${date.slice(8, 10)}/${date.slice(5, 7)}/${date.slice(0, 4)}`,
  clock: (date) => date.slice(11, 16),
  number: (value) => numbers.format(value),
});

export const chatBody = (data) => JSON.stringify({ text: chat(data) });

export const mail = (data, recipient) => ({
  from: { name: 'Cà phê Sao Mai', address: 'tin@saomai.example' },
  to: { name: recipient.name, address: recipient.email },
  subject: `Đơn hàng ${data.order_id} đang trên đường giao`,
  // Quoted-printable takes ten times as long.
  textEncoding: 'base64',
  text: text({ ...data, recipient }),
  html: html({ ...data, recipient }),
});
