// The server of one measurement, as a process of its own: `tls` answers at once, `express` reads the body first, `whole` is the webhook.
import { createServer } from 'node:https';
import express from 'express';
import { silent } from '../../src/kube/log.ts';
import { lookupOf } from '../../test/api/objects.ts';
import { createApp } from '../../webhook/app.ts';
import { makeAuthority, makeLeaf } from '../../webhook/certificates.ts';
import { percentiles } from './percentiles.ts';

const [what = ''] = process.argv.slice(2);
const ANSWER = { apiVersion: 'admission.k8s.io/v1', kind: 'AdmissionReview', response: { uid: 'a', allowed: true } };
const own: number[] = [];

const app =
  what === 'whole'
    ? createApp({
        lookup: lookupOf(),
        missing: () => [],
        metrics: { reviewed: (_, seconds) => own.push(seconds * 1000), certificateExpires: () => {} },
        log: silent,
      })
    : what === 'express'
      ? express()
          .disable('x-powered-by')
          .disable('etag')
          .post('/validate', express.raw({ type: 'application/json' }), (_, response) => {
            response.json(ANSWER);
          })
      : (_: unknown, response: { setHeader(name: string, value: string): void; end(text: string): void }): void => {
          response.setHeader('content-type', 'application/json');
          response.end(JSON.stringify(ANSWER));
        };
const authority = await makeAuthority(new Date());
const pair = await makeLeaf(authority, ['localhost'], new Date());
const server = createServer({ ...pair, minVersion: 'TLSv1.2' }, app).listen(0, '127.0.0.1', () => {
  const address = server.address();
  process.send?.({ port: typeof address === 'object' ? address?.port : 0, ca: authority.cert });
});
process.on('message', (message) => {
  if (message === 'reset') own.length = 0;
  else process.send?.({ own: own.length === 0 ? undefined : percentiles(own), rss: process.memoryUsage.rss() });
});
