export { freePort } from '../../tools/quickstart/ports.js';
