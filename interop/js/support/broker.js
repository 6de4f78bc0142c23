// Starts the broker binary on free ports, learns them from its `listening SCHEME ADDR` lines, and stops it.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { event, within } from './wait.js';

const ROOT = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../../..');
const BIN = path.resolve(ROOT, process.env.MQTTKIT_BIN_DIR ?? 'target/release');
const SCHEMES = ['tcp', 'ws', 'tls', 'wss'];

/**
 * `ports` asks for known ports (to come back on the same one), `certificate` is `{ cert, key, clientCa }` (files);
 * without it the broker makes a certificate of its own, whose PEM is `broker.ca`.
 */
export async function startBroker({ ports = {}, certificate } = {}) {
  const dir = mkdtempSync(path.join(tmpdir(), 'mqttkit-js-'));
  const own = path.join(dir, 'certificate.pem');
  const args = SCHEMES.flatMap((scheme) => [`--${scheme}`, `127.0.0.1:${ports[scheme] ?? 0}`]);
  if (certificate) {
    args.push('--cert', certificate.cert, '--key', certificate.key);
    if (certificate.clientCa) args.push('--client-ca', certificate.clientCa);
  } else {
    args.push('--tls-self-signed', '--write-cert', own);
  }
  const child = spawn(path.join(BIN, 'broker'), args, { cwd: ROOT, stdio: ['ignore', 'pipe', 'pipe'] });
  const broker = new Broker(child, dir);
  try {
    await within(broker.listening(), `broker ${args.join(' ')} listens`);
  } catch (error) {
    await broker.kill();
    throw new Error(`${error.message}\n${broker.log}`);
  }
  if (!certificate) broker.ca = readFileSync(own);
  return broker;
}

class Broker {
  ca = undefined;
  ports = {};
  log = '';
  #child;
  #dir;
  #exited;

  constructor(child, dir) {
    this.#child = child;
    this.#dir = dir;
    this.#exited = new Promise((resolve) => {
      child.on('error', (error) => { this.log += error.message; resolve(error); });
      child.on('exit', (code, signal) => resolve(code ?? signal));
    });
    child.stderr.on('data', (data) => { this.log += data; });
  }

  /** The address of a listener as MQTT.js wants it. */
  url(scheme) {
    const port = this.ports[scheme];
    assert.ok(port, `the broker listens on ${scheme}`);
    return { tcp: `mqtt://127.0.0.1:${port}`, tls: `mqtts://127.0.0.1:${port}`, ws: `ws://127.0.0.1:${port}/mqtt`, wss: `wss://127.0.0.1:${port}/mqtt` }[scheme];
  }

  async listening() {
    const ended = this.#exited.then((code) => { throw new Error(`the broker ended (${code}) before it listened`); });
    const all = new Promise((resolve) => {
      createInterface({ input: this.#child.stdout }).on('line', (line) => {
        const match = /^listening (\w+) .*:(\d+)$/.exec(line);
        if (match) this.ports[match[1]] = Number(match[2]);
        if (SCHEMES.every((scheme) => this.ports[scheme])) resolve();
      });
    });
    await Promise.race([all, ended]);
  }

  /** Asks it to stop, and proves that it does so in order. */
  async stop() {
    this.#child.kill('SIGTERM');
    try {
      assert.equal(await within(this.#exited, 'the broker stops'), 0, this.log);
    } finally {
      await this.kill();
    }
  }

  /** As a power cut would. */
  async kill() {
    if (this.#child.pid && this.#child.exitCode === null && this.#child.signalCode === null) {
      this.#child.kill('SIGKILL');
      await this.#exited;
    }
    rmSync(this.#dir, { recursive: true, force: true });
  }
}

/** Any other server process that a test needs; ends it when the test ends. */
export function background(t, command, args, options = {}) {
  const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'], ...options });
  t.after(async () => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    const gone = event(child, 'exit', `${command} ends`);
    child.kill('SIGKILL');
    await gone;
  });
  return child;
}
