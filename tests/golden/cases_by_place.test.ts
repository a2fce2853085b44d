import { expect, it } from 'vitest';
import { allCases, representatives, traitsOf } from './cases_by_place.ts';

const cases = allCases();
const chosen = representatives(cases);

it('representatives_show_every_trait_of_the_golden_cases', () => {
  expect(new Set(chosen.flatMap(traitsOf))).toEqual(new Set(cases.flatMap(traitsOf)));
});

it('each_representative_shows_a_trait_that_none_before_it_shows', () => {
  chosen.forEach((given, i) => {
    const before = new Set(chosen.slice(0, i).flatMap(traitsOf));
    expect(traitsOf(given).filter((trait) => !before.has(trait))).not.toEqual([]);
  });
});

it('representatives_are_known_by_their_names', () => {
  const names = cases.map(({ name }) => name);
  expect(names.filter((name, i) => names.indexOf(name) !== i)).toEqual([]);
});
