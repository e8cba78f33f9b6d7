// Reads an AsyncAPI document from standard input, and prints what the parser of the standard's own project says of it, as JSON.
// NODE_PATH names the folder with its packages.
const { Parser } = require('@asyncapi/parser');

const read = async () => {
  let text = '';
  for await (const piece of process.stdin.setEncoding('utf8')) text += piece;
  return text;
};

const check = async () => {
  const { document, diagnostics } = await new Parser().parse(await read());
  const found = diagnostics.map(({ code, message, path, severity }) => ({ code, message, path: path.join('/'), severity }));
  process.stdout.write(JSON.stringify({ version: document?.version() ?? null, found }));
};

check();
