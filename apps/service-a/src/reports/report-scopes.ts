/** Scopes that the routes of this service require. */
export const REPORTS_READ = 'reports:read';
export const REPORTS_WRITE = 'reports:write';

/** All of them: the catalogue of this service, where no other is kept. */
export const SCOPES = [REPORTS_READ, REPORTS_WRITE] as const;
