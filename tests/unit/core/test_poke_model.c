/* SPDX-License-Identifier: MIT */
/*
 * The batch against a model of cores, all interleavings. The real poke runs over the simulated host, which
 * records each byte written and each sync; the recording is then played against cores that
 *   - see any prefix of the writes since the last sync (PREFIX), or at each fetch any mixture of the values
 * that each byte had since then (SOUP, stronger: a fetch across cache lines);
 *   - enter a site at any moment, go through its instructions one by one, and may stand between two for any
 * time. Wrong: a fetch that is neither a whole old instruction, nor a whole new one, nor a trap at the first
 * byte; a trap at the end, when nobody knows it any more. Broken protocols (the recording with a sync left
 * out, steps swapped, …) must be found wrong, else the checker proves nothing.
 */
#include "sim.h"

#define SITES  2
#define CORES  2
#define EVENTS 64
#define TRAP   0xcc

enum view {
	PREFIX,
	SOUP
};

/* How a site's bytes divide into instructions. */
struct stream {
	uint8_t lengths[4];
};

struct shape {
	const char *name;
	size_t n, length;
	struct stream old, new;
};

struct core {
	uint8_t seen;	    /* events this core has seen; PREFIX */
	uint8_t inside;	    /* 0: outside; else 1 + site */
	uint8_t is_new, at; /* in which stream, at which byte */
};

struct model {
	const struct shape *shape;
	size_t cores;
	enum view view;
	struct sim_event events[EVENTS];
	size_t n;
	size_t last_sync[EVENTS + 1];	      /* events before it are seen by everybody */
	uint8_t image[EVENTS + 1][SITES][32]; /* after the first k events */
	uint8_t old[SITES][32], new[SITES][32];
	uint64_t address[SITES];

	bool wrong;
	size_t states;
	bool ran_old, ran_new, trapped;
	uint8_t *visited;
};

static size_t instruction(const struct stream *stream, size_t at)
{
	size_t start = 0;
	for (size_t i = 0; i < 4 && stream->lengths[i]; i++) {
		if (start == at)
			return stream->lengths[i];
		start += stream->lengths[i];
	}
	fail_msg("a core stands within an instruction of the model");
	return 0;
}

/* Which values a byte of a site may be fetched as. */
static bool can_be(const struct model *m, const struct core *core, size_t pos, size_t site, size_t at,
		   uint8_t value)
{
	if (m->view == PREFIX)
		return m->image[core->seen][site][at] == value;
	for (size_t k = m->last_sync[pos]; k <= pos; k++)
		if (m->image[k][site][at] == value)
			return true;
	return false;
}

static bool can_be_other(const struct model *m, const struct core *core, size_t pos, size_t site, size_t at,
			 uint8_t value)
{
	if (m->view == PREFIX)
		return m->image[core->seen][site][at] != value;
	for (size_t k = m->last_sync[pos]; k <= pos; k++)
		if (m->image[k][site][at] != value)
			return true;
	return false;
}

/* The instruction at `at` of that stream can be fetched only whole, given that its first byte was. */
static bool whole(const struct model *m, const struct core *core, size_t pos, size_t site, bool is_new,
		  size_t at)
{
	const uint8_t *bytes = is_new ? m->new[site] : m->old[site];
	size_t length = instruction(is_new ? &m->shape->new : &m->shape->old, at);
	for (size_t i = 1; i < length; i++)
		if (can_be_other(m, core, pos, site, at + i, bytes[at + i]))
			return false;
	return true;
}

static void explore(struct model *m, size_t pos, const struct core *cores);

static void go_on(struct model *m, size_t pos, const struct core *cores, size_t c, size_t site, bool is_new,
		  size_t at)
{
	struct core next[CORES];
	memcpy(next, cores, sizeof(next));
	at += instruction(is_new ? &m->shape->new : &m->shape->old, at);
	next[c].inside = at < m->shape->length ? (uint8_t)(site + 1) : 0;
	next[c].is_new = next[c].inside ? is_new : 0;
	next[c].at = next[c].inside ? (uint8_t)at : 0;
	*(is_new ? &m->ran_new : &m->ran_old) = true;
	explore(m, pos, next);
}

/* A core outside enters a site. */
static void enter(struct model *m, size_t pos, const struct core *cores, size_t c, size_t site)
{
	const struct core *core = &cores[c];
	uint8_t old = m->old[site][0], new = m->new[site][0];
	for (unsigned value = 0; value < 256; value++)
		if (value != old &&
		    value != new &&value != TRAP &&can_be(m, core, pos, site, 0, (uint8_t)value))
			m->wrong = true;
	if (can_be(m, core, pos, site, 0, TRAP)) {
		m->trapped = true; /* held: as good as outside */
		if (pos == m->n)
			m->wrong = true;
	}
	if (can_be(m, core, pos, site, 0, old)) {
		if (whole(m, core, pos, site, false, 0))
			go_on(m, pos, cores, c, site, false, 0);
		else
			m->wrong = true;
	}
	if (can_be(m, core, pos, site, 0, new)) {
		if (whole(m, core, pos, site, true, 0))
			go_on(m, pos, cores, c, site, true, 0);
		else
			m->wrong = true;
	}
}

/* A core between two instructions of a site fetches the next one. */
static void step(struct model *m, size_t pos, const struct core *cores, size_t c)
{
	const struct core *core = &cores[c];
	size_t site = core->inside - 1u;
	const uint8_t *bytes = core->is_new ? m->new[site] : m->old[site];
	if (can_be_other(m, core, pos, site, core->at, bytes[core->at]) ||
	    !whole(m, core, pos, site, core->is_new, core->at))
		m->wrong = true;
	else
		go_on(m, pos, cores, c, site, core->is_new, core->at);
}

/* A number for a state, dense, so that visited[] stays small; numbers(): how many there are. */
static size_t numbers(const struct model *m)
{
	size_t n = m->n + 1;
	for (size_t c = 0; c < m->cores; c++)
		n *= (m->n + 1) * (m->shape->n + 1) * 2 * m->shape->length;
	return n;
}

static size_t number_of(const struct model *m, size_t pos, const struct core *cores)
{
	size_t number = pos;
	for (size_t c = 0; c < m->cores; c++) {
		number = number * (m->n + 1) + cores[c].seen;
		number = number * (m->shape->n + 1) + cores[c].inside;
		number = number * 2 + cores[c].is_new;
		number = number * m->shape->length + cores[c].at;
	}
	return number;
}

static void explore(struct model *m, size_t pos, const struct core *cores)
{
	size_t number = number_of(m, pos, cores);
	if (m->wrong || (m->visited[number / 8] >> number % 8 & 1))
		return;
	m->visited[number / 8] |= (uint8_t)(1u << number % 8);
	m->states++;

	for (size_t c = 0; c < m->cores; c++) {
		struct core next[CORES];
		memcpy(next, cores, sizeof(next));
		if (m->view == PREFIX && cores[c].seen < pos) {
			next[c].seen++;
			explore(m, pos, next);
		}
		if (cores[c].inside)
			step(m, pos, cores, c);
		for (size_t site = 0; !cores[c].inside && site < m->shape->n; site++)
			enter(m, pos, cores, c, site);
	}
	if (pos == m->n)
		return;
	struct core next[CORES];
	memcpy(next, cores, sizeof(next));
	if (m->events[pos].kind == SIM_DRAIN)
		for (size_t c = 0; c < m->cores; c++)
			if (cores[c].inside)
				return; /* the controller waits */
	if (m->events[pos].kind == SIM_SYNC)
		for (size_t c = 0; c < m->cores && m->view == PREFIX; c++)
			next[c].seen = (uint8_t)(pos + 1);
	explore(m, pos + 1, next);
}

/* Whether the recording is right; fills in what was seen on the way. */
static bool right(struct model *m, enum view view, size_t cores)
{
	struct core start[CORES] = {0};
	m->view = view;
	m->cores = cores;
	m->wrong = m->ran_old = m->ran_new = m->trapped = false;
	m->states = 0;
	for (size_t s = 0; s < m->shape->n; s++)
		memcpy(m->image[0][s], m->old[s], m->shape->length);
	m->last_sync[0] = 0;
	for (size_t k = 0; k < m->n; k++) {
		const struct sim_event *e = &m->events[k];
		memcpy(m->image[k + 1], m->image[k], sizeof(m->image[k]));
		m->last_sync[k + 1] = e->kind == SIM_SYNC ? k + 1 : m->last_sync[k];
		for (size_t s = 0; e->kind == SIM_WRITE && s < m->shape->n; s++)
			if (e->address >= m->address[s] && e->address < m->address[s] + m->shape->length)
				m->image[k + 1][s][e->address - m->address[s]] = e->byte;
	}
	m->visited = calloc(numbers(m) / 8 + 1, 1);
	assert_non_null(m->visited);
	explore(m, 0, start);
	free(m->visited);
	return !m->wrong;
}

static const struct shape shapes[] = {
	{"one site, two bytes", 1, 2, {{2}}, {{2}}},
	{"one site, a jump over two instructions", 1, 5, {{2, 3}}, {{5}}},
	{"two sites, jumps over several instructions", 2, 5, {{1, 1, 3}}, {{5}}},
	{"two sites, instructions blanked", 2, 3, {{3}}, {{1, 2}}},
	{"two sites of one byte", 2, 1, {{1}}, {{1}}},
};
#define N_SHAPES (sizeof(shapes) / sizeof(shapes[0]))

enum outcome {
	SWITCH,
	ABORT
};

/* Runs the real batch; its k-th write or sync fails (0: none). *faulted: it came to that. */
static void record(struct model *m, const struct shape *shape, enum outcome outcome, unsigned fail_at,
		   enum sim_fault how, bool *faulted)
{
	struct sim *sim = sim_create(4096);
	struct poke_site sites[SITES];
	struct poke poke;

	memset(m, 0, sizeof(*m));
	memset(sites, 0, sizeof(sites));
	m->shape = shape;
	for (size_t s = 0; s < shape->n; s++) {
		sites[s].address = m->address[s] = sim->base + 8 * s;
		sites[s].length = (uint8_t)shape->length;
		for (size_t i = 0; i < shape->length; i++) {
			m->old[s][i] = sites[s].old_bytes[i] = (uint8_t)(0x10 + 8 * s + i);
			m->new[s][i] = sites[s].new_bytes[i] = (uint8_t)(0xe0 + 8 * s + i);
		}
		memcpy(sim_at(sim, sites[s].address), sites[s].old_bytes, shape->length);
	}
	sim->only_writes_and_syncs = true;
	sim->fail_at = fail_at;
	sim->how = how;
	assert_int_equal(poke_init(&poke, &sim->ops, sim, sim_trap, 1, sites, shape->n), 0);
	int r = poke_gate(&poke);
	if (r == 0 && outcome == ABORT) {
		(void)poke_abort(&poke);
	} else if (r == 0) {
		sim->events[sim->n_events++].kind = SIM_DRAIN;
		r = poke_switch(&poke);
	}
	if (poke.phase == POKE_GATED) {
		sim->events[sim->n_events++].kind = SIM_DRAIN;
		assert_int_equal(poke_abort(&poke), 0);
	}
	assert_true(sim->n_events <= EVENTS);
	m->n = sim->n_events;
	memcpy(m->events, sim->events, m->n * sizeof(m->events[0]));
	if (faulted)
		*faulted = sim->faulted;
	sim_destroy(sim);
}

static void every_interleaving_is_right(void **state)
{
	(void)state;
	static struct model m;
	for (size_t i = 0; i < N_SHAPES; i++)
		for (int view = PREFIX; view <= SOUP; view++)
			for (size_t cores = 1; cores <= CORES; cores++)
				for (int outcome = SWITCH; outcome <= ABORT; outcome++) {
					record(&m, &shapes[i], (enum outcome)outcome, 0, SIM_NOT_DONE, NULL);
					if (!right(&m, (enum view)view, cores))
						fail_msg("%s: wrong", shapes[i].name);
					/* It has really looked. */
					assert_true(m.ran_old && m.trapped);
					assert_int_equal(m.ran_new, outcome == SWITCH);
					assert_true(m.states > m.n);
				}
}

/* Each write and sync fails in turn, in each manner: the way back is right as well. */
static void every_way_back_is_right(void **state)
{
	(void)state;
	static struct model m;
	size_t n = 0;
	for (size_t i = 0; i < N_SHAPES; i++)
		for (int how = SIM_NOT_DONE; how <= SIM_HALF_DONE; how++)
			for (unsigned k = 1;; k++) {
				bool faulted;
				record(&m, &shapes[i], SWITCH, k, (enum sim_fault)how, &faulted);
				if (!faulted)
					break;
				for (int view = PREFIX; view <= SOUP; view++)
					if (!right(&m, (enum view)view, CORES))
						fail_msg("%s: wrong way back from failure %u, manner %d, "
							 "view %d",
							 shapes[i].name, k, how, view);
				n++;
			}
	assert_true(n > 60);
}

static void drop(struct model *m, size_t k)
{
	memmove(&m->events[k], &m->events[k + 1], (m->n - k - 1) * sizeof(m->events[0]));
	m->n--;
}

/* The index of the i-th (from 0) event of that kind. */
static size_t find(const struct model *m, unsigned kind, size_t i)
{
	for (size_t k = 0; k < m->n; k++)
		if ((unsigned)m->events[k].kind == kind && i-- == 0)
			return k;
	fail_msg("no such event");
	return 0;
}

static void must_be_wrong_in(struct model *m, enum view from, const char *what)
{
	for (int view = (int)from; view <= SOUP; view++)
		if (right(m, (enum view)view, CORES))
			fail_msg("not found wrong (view %d): %s", view, what);
}

static void must_be_wrong(struct model *m, const char *what)
{
	must_be_wrong_in(m, PREFIX, what);
}

/*
 * A core that sees writes in their order never sees a first byte without the tail written before it; only one
 * that fetches them apart does. Hence the second view: it is what sync 2 is for.
 */
static void must_be_wrong_apart(struct model *m, const char *what)
{
	assert_true(right(m, PREFIX, CORES));
	must_be_wrong_in(m, SOUP, what);
}

static void broken_protocols_are_found(void **state)
{
	(void)state;
	static struct model m;
	const struct shape *jump = &shapes[1], *two = &shapes[2], *blank = &shapes[3];

	static const char *const syncs[] = {"sync 1 left out", "sync 2 left out", "sync 3 left out"};
	for (size_t i = 0; i < 3; i++) {
		record(&m, two, SWITCH, 0, SIM_NOT_DONE, NULL);
		drop(&m, find(&m, SIM_SYNC, i));
		if (i == 1)
			must_be_wrong_apart(&m, syncs[i]);
		else
			must_be_wrong(&m, syncs[i]);
	}

	record(&m, two, SWITCH, 0, SIM_NOT_DONE, NULL);
	drop(&m, find(&m, SIM_DRAIN, 0));
	must_be_wrong(&m, "not drained");

	/* Tails before the gate: [trap, trap, sync, drain, tails] becomes [tails, trap, ...]. */
	record(&m, two, SWITCH, 0, SIM_NOT_DONE, NULL);
	size_t first_tail = find(&m, SIM_DRAIN, 0) + 1;
	struct sim_event tail = m.events[first_tail];
	memmove(&m.events[1], &m.events[0], first_tail * sizeof(m.events[0]));
	m.events[0] = tail;
	must_be_wrong(&m, "a tail before the gate");

	/* First bytes before tails. */
	record(&m, jump, SWITCH, 0, SIM_NOT_DONE, NULL);
	size_t tails = find(&m, SIM_DRAIN, 0) + 1, head = find(&m, SIM_SYNC, 1) + 1;
	struct sim_event first = m.events[head];
	memmove(&m.events[tails + 1], &m.events[tails], (head - tails) * sizeof(m.events[0]));
	m.events[tails] = first;
	must_be_wrong(&m, "first byte before the tail");

	/* One of two sites has no trap. */
	record(&m, two, SWITCH, 0, SIM_NOT_DONE, NULL);
	drop(&m, 1);
	must_be_wrong(&m, "a site without a trap");

	/* One byte of a tail is forgotten. */
	record(&m, two, SWITCH, 0, SIM_NOT_DONE, NULL);
	drop(&m, find(&m, SIM_DRAIN, 0) + 3);
	must_be_wrong(&m, "a tail byte forgotten");

	/* A first byte is forgotten. */
	record(&m, two, SWITCH, 0, SIM_NOT_DONE, NULL);
	drop(&m, find(&m, SIM_SYNC, 1) + 1);
	must_be_wrong(&m, "a first byte forgotten");

	/* No gate at all: the bytes one after the other. */
	record(&m, jump, SWITCH, 0, SIM_NOT_DONE, NULL);
	for (size_t i = 0; i < jump->length; i++)
		m.events[i] = (struct sim_event){SIM_WRITE, m.address[0] + i, m.new[0][i]};
	m.events[jump->length].kind = SIM_SYNC;
	m.n = jump->length + 1;
	must_be_wrong(&m, "no gate");

	record(&m, two, ABORT, 0, SIM_NOT_DONE, NULL);
	drop(&m, m.n - 1);
	must_be_wrong(&m, "abort without its sync");

	/* Failure at sync 2: writes 2, sync, tail; so the fourth. The undo's sync between tails and first
	 * bytes. */
	record(&m, jump, SWITCH, 4, SIM_NOT_DONE, NULL);
	assert_true(right(&m, PREFIX, 1));
	drop(&m, m.n - 3);
	must_be_wrong_apart(&m, "undo: first byte back without a sync after the tail");

	/* Failure at the last sync: gated again; a core stands between two of the new instructions. */
	record(&m, blank, SWITCH, 9, SIM_NOT_DONE, NULL);
	assert_true(right(&m, PREFIX, 1));
	drop(&m, find(&m, SIM_DRAIN, 1));
	must_be_wrong(&m, "undo from new first bytes without a second drain");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_interleaving_is_right),
		cmocka_unit_test(every_way_back_is_right),
		cmocka_unit_test(broken_protocols_are_found),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
