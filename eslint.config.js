import { existsSync } from 'node:fs';
import comments from '@eslint-community/eslint-plugin-eslint-comments';
import js from '@eslint/js';
import json from '@eslint/json';
import checkFile from 'eslint-plugin-check-file';
import globals from 'globals';
import importX from 'eslint-plugin-import-x';
import tsdoc from 'eslint-plugin-tsdoc';
import tseslint from 'typescript-eslint';

/**
 * What each folder of the library may import besides itself and what all may import: the arrows of ARCHITECTURE.md, one line
 * per layer. A file under `ts/` that is in no layer may import nothing, so a new folder has to be entered here.
 */
const forAll = [
  'errors.ts',
  'describe_value.ts',
  'check_options.ts',
  'typed_array.ts',
  'copy_of_library.ts',
  'platform_modules.ts',
  'load_once.ts',
  'end_of_tick.ts',
];
const layers = {
  'errors.ts': [],
  'describe_value.ts': [],
  'check_options.ts': [],
  'typed_array.ts': [],
  'copy_of_library.ts': [],
  'platform_modules.ts': [],
  'load_once.ts': [],
  'end_of_tick.ts': [],
  wasm: [],
  device: ['wasm'],
  tensor: ['device'],
  sync: [],
  nn: ['device', 'tensor', 'sync'],
  parallel: ['device', 'tensor', 'sync', 'nn'],
  convert: ['tensor', 'nn', 'parallel'],
  'main.ts': ['device', 'tensor', 'sync', 'nn', 'parallel', 'convert'],
  // Entries that bring the WebAssembly, or are given it.
  'index.ts': ['main.ts', 'wasm'],
  'slim.ts': ['main.ts', 'wasm'],
  'iife.ts': ['index.ts'],
  'shared.ts': [],
  // Entries beside the main one, of which they see what users see.
  safetensors: ['index.ts'],
  'safetensors.ts': ['safetensors'],
  distributed: ['index.ts', 'distributed.ts'],
  'distributed.ts': ['distributed'],
  tfjs: ['index.ts', 'safetensors.ts'],
  'tfjs.ts': ['tfjs'],
};

/** Entries that import nothing else of the library than the public face: what all may import would come into their bundle a second time. */
const publicFaceOnly = ['tfjs', 'tfjs.ts'];

/** One zone of `import-x/no-restricted-paths` per layer: nothing under `ts/` but what the table allows. */
const layerZones = Object.entries(layers).map(([layer, own]) => {
  const allowed = publicFaceOnly.includes(layer) ? own : [...forAll, ...own];
  return {
    target: `./ts/${layer}`,
    from: './ts',
    except: [...new Set([layer, ...allowed])].map((name) => `./${name}`),
    message: `ts/${layer} may import only: ${allowed.join(', ')}.`,
  };
});

/** The generated bindings are an implementation detail of `ts/wasm`, which checks that they are initialised. */
const generatedZone = {
  target: ['./ts/!(wasm)/**', './ts/*.ts', './tests', './bench', './examples'],
  from: './ts/wasm/generated',
  message: 'Only ts/wasm imports the generated bindings.',
};

/** A file holds one concept and bears its name; these bear none. */
const meaningless = '**/{util,utils,helper,helpers,misc,common}.*';

/** Files of the benchmark that import its own packages, which `node scripts/setup.mjs --for bench` installs. */
const peers = existsSync(new URL('bench/node_modules', import.meta.url)) ? [] : ['bench/peers/'];

const scripts = ['**/*.{js,mjs,ts}'];

export default tseslint.config(
  {
    ignores: [
      '**/node_modules/',
      '.tools/',
      '**/build/',
      'dist/',
      'reports/',
      '**/target/',
      'ts/*/generated/',
      ...peers,
    ],
  },
  { linterOptions: { reportUnusedDisableDirectives: 'error' } },
  { files: scripts, ...js.configs.recommended },
  {
    files: scripts,
    plugins: { 'check-file': checkFile, 'eslint-comments': comments },
    rules: {
      'check-file/filename-naming-convention': ['error', { '**/*': 'SNAKE_CASE' }, { ignoreMiddleExtensions: true }],
      // The second of each pair would be the better name.
      'check-file/filename-blocklist': [
        'error',
        { [meaningless]: '**/(concept).*', 'ts/*/**/index.*': 'ts/*/**/(concept).*' },
        { errorMessage: '{{ target }} names no concept: a file bears the name of the one in it, and none is a barrel' },
      ],
      // An exemption carries its reason: `-- because …`.
      'eslint-comments/require-description': ['error', { ignore: ['eslint-enable'] }],
    },
  },
  {
    // Addresses of registries are each developer's own. `.npmrc` keeps them out of lock files.
    files: ['**/package-lock.json'],
    plugins: { json },
    language: 'json/json',
    rules: {
      'no-restricted-syntax': ['error', { selector: 'Member[name.value="resolved"]', message: 'No addresses.' }],
    },
  },
  {
    files: ['**/*.js', '**/*.mjs'],
    languageOptions: { globals: globals.node },
    rules: { eqeqeq: 'error', 'no-var': 'error', 'prefer-const': 'error' },
  },
  {
    files: ['**/*.ts'],
    extends: [tseslint.configs.strictTypeChecked, tseslint.configs.stylisticTypeChecked],
    languageOptions: { parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname } },
    plugins: { tsdoc, 'import-x': importX },
    settings: {
      'import-x/resolver-next': [importX.createNodeResolver({ extensions: ['.ts', '.js'] })],
    },
    rules: {
      eqeqeq: 'error',
      'tsdoc/syntax': 'error',
      'import-x/no-default-export': 'error',
      'import-x/no-restricted-paths': [
        'error',
        { basePath: import.meta.dirname, zones: [...layerZones, generatedZone] },
      ],
      '@typescript-eslint/no-confusing-void-expression': ['error', { ignoreArrowShorthand: true }],
      '@typescript-eslint/switch-exhaustiveness-check': ['error', { considerDefaultExhaustiveForUnions: true }],
      '@typescript-eslint/consistent-type-imports': ['error', { fixStyle: 'inline-type-imports' }],
      '@typescript-eslint/no-unused-vars': ['error', { argsIgnorePattern: '^_' }],
      '@typescript-eslint/restrict-template-expressions': ['error', { allowNumber: true, allowBoolean: true }],
    },
  },
  {
    // A configuration file is read by its tool through the default export.
    files: ['*.config.ts'],
    rules: { 'import-x/no-default-export': 'off' },
  },
);
