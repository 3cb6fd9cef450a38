import { ProblemException } from './problem-exception.js';
import { checkVersion } from './version-check.js';

/** Status and words of what version 3 answers, null where it passes. */
function told(ifMatch: string | undefined): [number, string] | null {
  try {
    checkVersion(ifMatch, 3);
    return null;
  } catch (error) {
    return [(error as ProblemException).getStatus(), (error as ProblemException).message];
  }
}

it.each([undefined, '*', ' * ', '"3"', '"1", "3"', '"a,b","3"', ', "3",, "4" ,', 'W/"1" ,"3"'])(
  'If-Match %j names the present version, 3',
  (ifMatch) => {
    expect(told(ifMatch)).toBeNull();
  },
);

it.each(['"1"', '"1", "2"', 'W/"3", "2"'])('If-Match %j names earlier ones', (ifMatch) => {
  expect(told(ifMatch)).toEqual([412, 'Read it again and repeat the change on what it is now']);
});

it.each(['W/"3"', 'W/"1", W/"3"'])('If-Match %j is weak, which matches nothing', (ifMatch) => {
  const what = 'A weak tag matches nothing: send the ETag of the last answer, such as "3"';
  expect(told(ifMatch)).toEqual([412, `${what}, without W/, which a proxy may have put before it`]);
});

it.each(['""', '"zz"', '"a,b"', '"\u00e9"', '"03"', `"${'a'.repeat(500)}"`])(
  'If-Match %j is none of the tags that were given',
  (ifMatch) => {
    const unlike = 'No ETag of this service looks so; send the one of the last answer, such as "3"';
    expect(told(ifMatch)).toEqual([412, unlike]);
  },
);

it.each([
  '',
  ',',
  '3',
  'banana',
  '"3',
  '3"',
  'w/"3"',
  '"3" "4"',
  '*, "3"',
  '"3", 4',
  '"a b"',
  '"3""4"',
])('If-Match %j is no list of entity tags', (ifMatch) => {
  const want = 'Send If-Match as the ETag of the last answer, quotes too, such as "3"';
  expect(told(ifMatch)).toEqual([400, want]);
});

it.each(['"1" , ', ',  ', '"', '"1"  '])('a long header of %j is no trouble', (part) => {
  expect(told(`"1",${part.repeat(4_000)}x`)?.[0]).toBe(400);
});
