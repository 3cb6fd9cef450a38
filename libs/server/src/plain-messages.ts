import { z } from 'zod';
import { plainMessages } from '#contracts';

/** Importing this module makes every schema of the process speak plainly; a library may not do that to its user. */
z.config({ customError: plainMessages });
