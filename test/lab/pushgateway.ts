import { tool } from '../../scripts/tools/tool.ts';
import { commonGround, type Ground } from './ground.ts';
import { startProcess, until } from './process.ts';

/** A Prometheus Pushgateway. */
export interface Pushgateway extends AsyncDisposable {
  /** `http://host:port`. */
  readonly url: string;
  /** What Prometheus would scrape: the pushed metrics and its own, in the text format. */
  metrics(): Promise<string>;
  stop(): Promise<void>;
}

export async function startPushgateway(options: { on?: Ground } = {}): Promise<Pushgateway> {
  const [program, ground] = await Promise.all([tool('pushgateway'), options.on ?? commonGround()]);
  const address = `${ground.address()}:${await ground.port()}`;
  const url = `http://${address}`;
  const process = startProcess(ground, `pushgateway-${address.split(':')[1]}`, program, [
    `--web.listen-address=${address}`,
  ]);
  await until('the Pushgateway is ready', async () => (await fetch(`${url}/-/ready`)).ok, { process });
  const self: Pushgateway = {
    url,
    metrics: async () => (await fetch(`${url}/metrics`)).text(),
    stop: () => process.end('SIGKILL'),
    [Symbol.asyncDispose]: () => self.stop(),
  };
  return self;
}
