import { Cluster, type Command } from 'ioredis';

/**
 * A cluster that fails what it is given while it is not connected, all of what goes together alike. It is for `enableOfflineQueue: true`:
 * without that ioredis does so by itself, but also fails single commands of those that go together, where the node that it picked for one
 * is not connected to yet. The others are never written then, yet an answer is awaited to them: from then on each answer on their
 * connection is taken for that of the command before.
 */
export class PromptCluster extends Cluster {
  override sendCommand(command: Command, stream?: Stream, node?: unknown): unknown {
    // the one with which the client itself looks whether it is connected
    const isOwn = command.name === 'cluster';
    if (this.status === 'ready' || isOwn) return super.sendCommand(command, stream, node);
    command.reject(new Error('The cluster is not connected'));
    return command.promise;
  }
}

type Stream = Parameters<Cluster['sendCommand']>[1];
