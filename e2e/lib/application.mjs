// The application behind the gateway: it answers as each path says, and keeps what it received.
import { createServer } from "node:http";

export async function startApplication() {
  const received = [];
  const broken = new Set(["/broken"]);
  const server = createServer((request, response) => {
    const chunks = [];
    request.on("data", (chunk) => chunks.push(chunk));
    request.on("end", () => {
      received.push({ path: request.url, headers: request.headers, body: Buffer.concat(chunks).toString() });
      if (request.url === "/gone") return response.writeHead(410).end("no such customer any more");
      if (broken.has(request.url)) return response.writeHead(500, { "Content-Type": "text/plain" }).end("database is down");
      response.writeHead(200, { "Content-Type": "application/json" }).end('{"ok":true}');
    });
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    address: `127.0.0.1:${server.address().port}`,
    received,
    repair: (path) => broken.delete(path),
    break: (path) => broken.add(path),
    close: () => new Promise((resolve) => { server.closeAllConnections(); server.close(resolve); }),
  };
}
