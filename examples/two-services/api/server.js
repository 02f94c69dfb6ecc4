// The API: each answer says which replica and which version has made it.
const http = require("node:http");

const server = http.createServer((request, response) => {
  if (request.url === "/up") {
    response.writeHead(204).end();
    return;
  }
  const body = {
    service: "api",
    version: process.env.VERSION,
    number: Number(process.env.SERVER_NUMBER),
    path: request.url,
  };
  response.setHeader("Content-Type", "application/json");
  response.end(JSON.stringify(body) + "\n");
});

// HOST is for containers: there it has to be all addresses.
server.listen(process.env.PORT, process.env.HOST ?? "127.0.0.1");

process.on("SIGTERM", () => {
  server.close();
  server.closeIdleConnections();
});
