// Prints the body of every message, one a line, of nsqds that it finds through an nsqlookupd.
//   node consume.js NSQJS LOOKUPD TOPIC CHANNEL
const [nsqjs, lookupd, topic, channel] = process.argv.slice(2)
// With the slash it is the directory, and not the file beside it with .json at its end.
const {Reader} = require(nsqjs + '/')

const reader = new Reader(topic, channel, {
  lookupdHTTPAddresses: [lookupd],
  lookupdPollInterval: 1,
  maxInFlight: 100,
})
reader.on('message', (message) => {
  // Acknowledged only once it is told.
  process.stdout.write(message.body.toString() + '\n', () => message.finish())
})
reader.on('error', (error) => console.error(`consume.js: ${error}`))
reader.connect()
