// service-b as a plain script: what it makes of service-a's reports, without a server or a framework.
//
//   KEYWARD_API_KEY=$(cat ../keyward/.keyward/service-b.key) node summary.ts
//
// Node.js 22.18 or later runs it as it is; ../README.md says how it is compiled for others.
import { createKeyClient, fromEnv, type KeyClient } from '@keyward/key-client';

interface Summary {
  reports: number;
  latest: string | null;
  titles: string[];
}

/** What `GET /v1/summary` of service-b answers. */
async function serviceB(callServiceA: KeyClient): Promise<Summary> {
  const response = await callServiceA('/v1/reports?limit=200');
  const body = (await response.json()) as { data: { title: string }[]; code?: string };
  if (!response.ok) throw new Error(`service-a answered ${response.status} ${body.code ?? ''}`);
  const titles = body.data.map((report) => report.title);
  return { reports: titles.length, latest: titles[0] ?? null, titles };
}

const serviceA = createKeyClient({
  baseUrl: process.env['SERVICE_A_URL'] ?? 'http://localhost:4003',
  secret: fromEnv('KEYWARD_API_KEY'),
});

console.log(JSON.stringify(await serviceB(serviceA)));
