import { relative } from 'node:path';
import type { Urls } from './apps.js';

/** What the ready banner tells. */
export interface BannerOptions {
  urls: Urls;
  home: string;
  admin: { username: string; password: string };
  /** Whether to show the password: at the first start only. */
  showPassword: boolean;
  tookMs: number;
}

/** Text for the terminal once everything serves: where, as whom, and three lines to try. */
export function banner({ urls, home, admin, showPassword, tookMs }: BannerOptions): string {
  const folder = nearPath(home);
  const password = showPassword
    ? `${admin.password}   (shown this once; kept in ${folder}/quickstart.json)`
    : `as set at the first start, see ${folder}/quickstart.json`;
  return `
Keyward is ready (${(tookMs / 1000).toFixed(1)} s). Ctrl-C stops it; logs are in ${folder}/logs.

  login        ${urls.login}
  key-service  ${urls.keyService}
  service-a    ${urls.serviceA}
  service-b    ${urls.serviceB}     (each with /docs and /openapi.json)

  admin        ${admin.username}
  password     ${password}

Three lines to try, in another terminal:

  TOKEN=$(node -p 'JSON.stringify(JSON.parse(fs.readFileSync("${folder}/quickstart.json")).admin)' | curl -s ${urls.serviceA}/v1/login -H 'content-type: application/json' -d @- | node -p 'JSON.parse(fs.readFileSync(0)).accessToken')
  curl -s -w '\\n' ${urls.serviceB}/v1/summary -H "authorization: Bearer $TOKEN"
  curl -s -w '\\n' ${urls.serviceA}/v1/reports -H "x-api-key: $(cat ${folder}/service-b.key)"
`;
}

/** The folder as seen from here, where that is shorter. */
function nearPath(path: string): string {
  const near = relative(process.cwd(), path);
  return near.startsWith('..') || near === '' ? path : near;
}
