// Makes and checks requests of the catalogue's providers, by asking a process of ../oracle.
import { spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { once } from "node:events";
import { Incoming } from "./incoming.mjs";

// Refused is what the catalogue says of a request that it does not accept. reason is mismatch, stale, unsigned, malformed, unreadable or keys_unavailable.
export class Refused extends Error {
  constructor(reason, message) {
    super(message);
    this.reason = reason;
  }
}

export function startOracle(binary = process.env.SLUICE_ORACLE) {
  if (!binary) throw new Error("SLUICE_ORACLE is not set: run .ci/crosscheck, or build crosscheck/oracle");
  const child = spawn(binary, { stdio: ["pipe", "pipe", "inherit"] });
  const waiting = [];
  createInterface({ input: child.stdout }).on("line", (line) => waiting.shift().resolve(JSON.parse(line)));
  const ended = once(child, "exit").then(([code]) => {
    for (const { reject } of waiting.splice(0)) reject(new Error(`the oracle ended with ${code}`));
  });

  async function ask(question) {
    const answer = await new Promise((resolve, reject) => {
      waiting.push({ resolve, reject });
      child.stdin.write(JSON.stringify(question) + "\n");
    });
    if (answer.reason) throw new Refused(answer.reason, answer.error);
    if (answer.error) throw new Error(`${question.provider}: ${answer.error}`);
    return answer;
  }
  const written = ({ method = "POST", url, headers = {}, body }) => ({
    method, url, body: body === undefined ? undefined : Buffer.from(body).toString("base64"),
    header: Object.fromEntries(Object.entries(headers).map(([name, value]) => [name, [].concat(value).map(String)])),
  });
  return {
    // A new secret of the kind that the provider uses, and values for the params that it needs.
    secret: async (provider) => {
      const { secret = "", params = {} } = await ask({ do: "secret", provider });
      return { secret, params };
    },
    // A chain of certificates, leaf first, as Apple signs with: { certificates, key } in PEM.
    chain: async (provider) => (await ask({ do: "chain", provider })).chain,
    sign: async (provider, secret, { params, type, id, url, headers, body } = {}) => {
      const { request } = await ask({ do: "sign", provider, params, type, id, secrets: [secret], request: written({ url, headers, body }) });
      const values = Object.fromEntries(Object.entries(request.header).map(([name, list]) => [name.toLowerCase(), list.join(", ")]));
      return new Incoming({ method: request.method, url: request.url, headers: values, body: Buffer.from(request.body ?? "", "base64") });
    },
    // Throws Refused unless the request is accepted.
    verify: (provider, secrets, request, { params, documents } = {}) => ask({ do: "verify", provider, params, documents, secrets, request: written(request) }),
    stop: async () => {
      child.stdin.end();
      await ended;
    },
  };
}
