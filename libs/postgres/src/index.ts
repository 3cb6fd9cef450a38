export { databaseUrl, namedDatabase } from './named-database.js';
export { saysNoWrites } from './primary.js';
export { asRole, credentialsOf, serversIn } from './server-list.js';
export { writable, type Writable } from './writable-client.js';
