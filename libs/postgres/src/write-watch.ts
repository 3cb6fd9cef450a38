import type { Client } from 'pg';

/** Settings that PostgreSQL reports by itself, at the start of a session and with the next answer after a change. */
const REPORTED = ['in_hot_standby', 'default_transaction_read_only'];
/** SQLSTATE `read_only_sql_transaction`. */
export const READ_ONLY = '25006';

/** Listens whether the server of a connection takes writes. To be made before the client connects. */
export class WriteWatch {
  private readonly reports = new Map<string, string>();
  /** Called when the server says that it takes no writes: before what it answered meanwhile is handed on. */
  onReadOnly: () => void = () => undefined;

  constructor(private readonly client: Client) {
    client.connection.on('parameterStatus', (report: Report) => this.note(report));
    client.connection.on('errorMessage', ({ code }: { code?: string }) => {
      // the error itself goes to whoever asked, as it is
      if (code === READ_ONLY) setImmediate(() => this.onReadOnly());
    });
  }

  /** Asks where the server does not report it: PostgreSQL before 14, or a pooler. */
  async takesWrites(): Promise<boolean> {
    if (REPORTED.every((name) => this.reports.has(name)))
      return REPORTED.every((name) => this.reports.get(name) === 'off');
    const { rows } = await this.client.query<{ transaction_read_only: string }>(
      'SHOW transaction_read_only',
    );
    return rows[0]?.transaction_read_only === 'off';
  }

  private note({ parameterName: name, parameterValue: value }: Report): void {
    if (!REPORTED.includes(name)) return;
    this.reports.set(name, value);
    if (value === 'on') this.onReadOnly();
  }
}

interface Report {
  parameterName: string;
  parameterValue: string;
}
