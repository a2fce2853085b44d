/** Servers that do not let everybody in: every kind of credentials, TLS, and the configuration that `docs/distributed.md` shows. */

import { connect } from '@nats-io/transport-node';
import { createAccount, createOperator, createUser, type KeyPair } from '@nats-io/nkeys';
import { initProcessGroup, RendezvousError } from 'syncbn/distributed';
import { nats, type NatsCredentials, type NatsOptions } from 'syncbn/distributed/nats';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { makeCertificate, startDocumentedServer } from '../support/documented_server.ts';
import { type NatsServer, startNatsServer } from '../support/nats_server.ts';

type Given = Omit<NatsOptions, 'servers'>;

/** Two ranks of a job add up their numbers. */
async function sumOfTwo(servers: string, job: string, given: Given): Promise<number[]> {
  return Promise.all(
    [0, 1].map(async (rank) => {
      const group = await initProcessGroup({
        backend: nats({ servers, ...given }),
        job,
        rank,
        worldSize: 2,
        timeout: 5,
      });
      const [sum = NaN] = await group.allReduce(Float32Array.of(rank + 1));
      await group.destroy();
      return sum;
    }),
  );
}

/** What a rank alone is told. */
async function refusal(servers: string, job: string, given: Given): Promise<string> {
  const joining = initProcessGroup({ backend: nats({ servers, ...given }), job, rank: 0, worldSize: 1, timeout: 3 });
  const error: unknown = await joining.then(
    (group) => group.destroy(),
    (caught: unknown) => caught,
  );
  expect(error).toBeInstanceOf(RendezvousError);
  return String(error);
}

const seedOf = (key: KeyPair): string => new TextDecoder().decode(key.getSeed());

describe.concurrent('credentials', () => {
  const user = createUser();
  const [operator, account] = [createOperator(), createAccount()];
  const inAccount = createUser();

  const allow = `allow = ["syncbn.digits.>"]`;
  const kinds: readonly [string, string, NatsCredentials, NatsCredentials][] = [
    [
      'a_user_and_a_password',
      'authorization { users: [{ user: digits, password: secret }] }',
      { user: 'digits', pass: 'secret' },
      { user: 'digits', pass: 'other' },
    ],
    ['a_token', 'authorization { token: "s3cr3t" }', { token: 's3cr3t' }, { token: 'other' }],
    [
      'an_nkey',
      `authorization { users: [{ nkey: ${user.getPublicKey()}, permissions: { publish: { ${allow} }, subscribe: { ${allow} } } }] }`,
      { nkey: seedOf(user) },
      { nkey: seedOf(createUser()) },
    ],
    [
      'a_jwt',
      [
        `operator: ${jwt(operator, 'operator', operator)}`,
        'resolver: MEMORY',
        `resolver_preload: { ${account.getPublicKey()}: ${jwt(account, 'account', operator)} }`,
      ].join('\n'),
      { creds: credsOf(inAccount, account) },
      // Another account has signed it.
      { creds: credsOf(inAccount, createAccount()) },
    ],
  ];

  describe.each(kinds)('of_%s', (_, config, right, wrong) => {
    let server: NatsServer;
    let servers: string;
    beforeAll(async () => {
      server = await startNatsServer(config);
      servers = `nats://127.0.0.1:${server.port}`;
    });
    afterAll(() => server.stop());

    it('let_ranks_in', async () => {
      expect(await sumOfTwo(servers, 'digits', { credentials: right })).toEqual([3, 3]);
    });

    it('are_refused_at_once_where_they_are_wrong', async () => {
      const start = performance.now();
      expect(await refusal(servers, 'digits', { credentials: wrong })).toMatch(
        /the server nats:.* does not take this rank: .*Authorization.*; check the address, and credentials and tls/,
      );
      expect(performance.now() - start).toBeLessThan(2000);
    });

    it('are_asked_for_where_there_are_none', async () => {
      expect(await refusal(servers, 'digits', {})).toMatch(/Authorization/);
    });
  });

  /** A token of JSON that a key has signed. */
  function jwt(subject: KeyPair, type: 'operator' | 'account' | 'user', issuer: KeyPair): string {
    const text = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url');
    const limits = { subs: -1, data: -1, payload: -1 };
    const server = { imports: -1, exports: -1, wildcards: true, conn: -1, leaf: -1 };
    const claims = {
      operator: {},
      account: { limits: { ...limits, ...server } },
      user: limits,
    }[type];
    const payload = {
      jti: crypto.randomUUID(),
      iat: 1_700_000_000,
      iss: issuer.getPublicKey(),
      name: type,
      sub: subject.getPublicKey(),
      nats: { ...claims, type, version: 2 },
    };
    const body = `${text({ typ: 'JWT', alg: 'ed25519-nkey' })}.${text(payload)}`;
    return `${body}.${Buffer.from(issuer.sign(Buffer.from(body))).toString('base64url')}`;
  }

  /** The text of a file as `nsc` writes it. */
  function credsOf(key: KeyPair, issuer: KeyPair): string {
    const part = (name: string, text: string): string => `-----BEGIN ${name}-----\n${text}\n------END ${name}------\n`;
    return part('NATS USER JWT', jwt(key, 'user', issuer)) + part('USER NKEY SEED', seedOf(key));
  }
});

describe('the configuration in docs/distributed.md', () => {
  const mine: Given['credentials'] = { user: 'digits', pass: 'a-secret' };
  let server: NatsServer;
  let servers: string;
  let tls: NonNullable<Given['tls']>;

  beforeAll(async () => {
    const certificates = makeCertificate();
    tls = { ca: certificates['broker.pem'] };
    server = await startDocumentedServer(certificates);
    servers = `tls://localhost:${server.port}`;
  });
  afterAll(() => server.stop());

  it('lets_the_ranks_of_its_job_in_over_tls', async () => {
    expect(await sumOfTwo(servers, 'digits-7', { credentials: mine, tls })).toEqual([3, 3]);
  });

  it('lets_nobody_in_without_the_password', async () => {
    expect(await refusal(servers, 'digits-7', { credentials: { user: 'digits', pass: '' }, tls })).toMatch(
      /Authorization/,
    );
  });

  it('lets_its_user_into_no_other_job', async () => {
    expect(await refusal(servers, 'faces-1', { credentials: mine, tls })).toMatch(
      /the server forbids it: Permissions Violation.*; allow this user to publish and to subscribe syncbn\.JOB\.>/,
    );
  });

  it('keeps_the_users_of_other_jobs_from_reading_and_from_writing', async () => {
    const heard: string[] = [];
    const forbidden: string[] = [];
    const other = await connect({
      servers,
      user: 'faces',
      pass: 'another-secret',
      tls,
      inboxPrefix: 'syncbn.faces-1.inbox',
    });
    for (const subject of ['>', 'syncbn.>', 'syncbn.digits-7.>', '_INBOX.>']) {
      other.subscribe(subject, {
        callback: (error, message) => {
          if (error === null) heard.push(message.subject);
          else forbidden.push(subject);
        },
      });
    }
    for (const subject of ['join', 'inbox.x', 'x.all']) other.publish(`syncbn.digits-7.${subject}`);
    await other.flush();
    expect(await sumOfTwo(servers, 'digits-7', { credentials: mine, tls })).toEqual([3, 3]);
    await other.close();
    expect(heard).toEqual([]);
    expect(forbidden).toHaveLength(4);
  });

  it('is_reached_by_a_number_where_the_name_in_its_certificate_is_given', async () => {
    const byNumber = servers.replace('localhost', '127.0.0.1');
    const named = (servername: string): Given => ({ credentials: mine, tls: { ...tls, servername } });
    expect(await sumOfTwo(byNumber, 'digits-7', named('localhost'))).toEqual([3, 3]);
    expect(await refusal(byNumber, 'digits-7', named('elsewhere.example'))).toMatch(/altnames|certificate/);
  });

  it('has_a_certificate_that_ranks_check', async () => {
    expect(await refusal(servers, 'digits-7', { credentials: mine, tls: {} })).toMatch(/self.signed|certificate/);
  });
});
