/* SPDX-License-Identifier: MIT */
#include "sim.h"

#include <stdio.h>

const uint8_t sim_trap[1] = {0xcc};

uint8_t *sim_at(struct sim *sim, uint64_t address)
{
	assert_true(address >= sim->base && address - sim->base < sim->size);
	return sim->text + (address - sim->base);
}

bool sim_pristine(const struct sim *sim)
{
	return memcmp(sim->text, sim->pristine, sim->size) == 0;
}

static void tick(struct sim *sim)
{
	if (++sim->ops_done == sim->die_at)
		longjmp(sim->death, 1);
}

/* Whether this operation is the one to fail. */
static bool fails(struct sim *sim, bool write_or_sync)
{
	if (sim->only_writes_and_syncs && !write_or_sync)
		return false;
	sim->fallible++;
	bool now = sim->fail_at &&
		   (sim->fallible == sim->fail_at || (sim->sticky && sim->fallible > sim->fail_at));
	sim->faulted |= now;
	return now;
}

static void record(struct sim *sim, int kind, uint64_t address, uint8_t byte)
{
	if (sim->n_events < SIM_EVENTS) {
		sim->events[sim->n_events].kind = (unsigned)kind;
		sim->events[sim->n_events].address = address;
		sim->events[sim->n_events++].byte = byte;
	}
}

static void trace(struct sim *sim, const char *what)
{
	size_t n = strlen(sim->trace);
	snprintf(sim->trace + n, sizeof(sim->trace) - n, "%s", what);
}

static int sim_read(void *host, uint64_t address, void *bytes, size_t n)
{
	struct sim *sim = host;
	tick(sim);
	sim->reads++;
	if (fails(sim, false))
		return -CORE_EIO;
	sim_at(sim, address + n - 1);
	memcpy(bytes, sim_at(sim, address), n);
	return 0;
}

static int write_one(struct sim *sim, uint64_t address, const void *expected, const void *bytes, size_t n)
{
	assert_true(n >= 1 && n <= POKE_LENGTH_MAX);
	tick(sim);
	sim->writes++;
	if (sim->check_stopped) {
		assert_true(sim->stopped || sim->gate_open);
		assert_true(sim->has_intent);
	}
	bool fail = fails(sim, true);
	if (fail && sim->how == SIM_NOT_DONE)
		return -CORE_EIO;
	sim_at(sim, address + n - 1);
	if (memcmp(sim_at(sim, address), expected, n) != 0)
		return -CORE_EBADMSG;
	size_t written = fail && sim->how == SIM_HALF_DONE ? n / 2 : n;
	for (size_t i = 0; i < written; i++)
		record(sim, SIM_WRITE, address + i, ((const uint8_t *)bytes)[i]);
	memcpy(sim_at(sim, address), bytes, written);
	return fail ? -CORE_EIO : 0;
}

static int sim_write(void *host, const struct host_write *v, size_t n, size_t *done)
{
	int r = 0;
	for (*done = 0; *done < n; ++*done) {
		r = write_one(host, v[*done].address, v[*done].expected, v[*done].bytes, v[*done].n);
		if (r < 0)
			break;
	}
	return r;
}

static int sim_sync(void *host)
{
	struct sim *sim = host;
	tick(sim);
	sim->syncs++;
	bool fail = fails(sim, true);
	if (!fail || sim->how != SIM_NOT_DONE)
		record(sim, SIM_SYNC, 0, 0);
	return fail ? -CORE_EIO : 0;
}

static uint64_t sim_now(void *host)
{
	return ((struct sim *)host)->now_ns;
}

static void sim_relax(void *host)
{
	((struct sim *)host)->now_ns += 1000;
}

static int sim_pause(void *host, uint64_t ns)
{
	struct sim *sim = host;
	tick(sim);
	assert_false(sim->stopped);
	sim->pauses++;
	sim->now_ns += ns;
	return fails(sim, false) ? -CORE_EIO : 0;
}

static int sim_stop(void *host, uint64_t deadline_ns)
{
	struct sim *sim = host;
	tick(sim);
	assert_false(sim->stopped);
	assert_true(deadline_ns > sim->now_ns);
	sim->stops++;
	if (fails(sim, false))
		return -CORE_EPERM;
	if (sim->never_stop > 0) {
		sim->never_stop--;
		sim->now_ns = deadline_ns;
		return sim->stop_error ? sim->stop_error : -CORE_ETIMEDOUT;
	}
	sim->stopped = true;
	trace(sim, "[ ");
	if (sim->on_stop)
		sim->on_stop(sim);
	return 0;
}

static int sim_quiescent(void *host, const struct host_range *ranges, size_t n, uint64_t deadline_ns)
{
	struct sim *sim = host;
	(void)deadline_ns;
	tick(sim);
	assert_true(sim->stopped);
	sim->n_ranges = n < 256 ? n : 256;
	memcpy(sim->ranges, ranges, sim->n_ranges * sizeof(*ranges));
	if (fails(sim, false))
		return -CORE_EIO;
	if (sim->quiescent_error)
		return sim->quiescent_error;
	if (sim->core_looks == 0)
		return 0;
	sim->core_looks--;
	for (size_t i = 0; i < n; i++)
		if (sim->core >= ranges[i].start && sim->core < ranges[i].end)
			return -CORE_EAGAIN;
	return 0;
}

static int sim_gate_open(void *host, struct action_intent *intent, const struct host_range *ranges, size_t n)
{
	struct sim *sim = host;
	(void)ranges;
	(void)n;
	tick(sim);
	assert_false(sim->gate_open);
	assert_false(sim->drained);
	if (fails(sim, false))
		return -CORE_EIO;
	if (sim->open_error)
		return sim->open_error;
	sim->opens++;
	sim->gate_open = true;
	intent->trap = sim->trap;
	intent->commit_late = sim->commit_late;
	trace(sim, "( ");
	return 0;
}

static int sim_ready(void *host)
{
	struct sim *sim = host;
	tick(sim);
	assert_true(sim->gate_open);
	if (fails(sim, false))
		return -CORE_EIO;
	if (sim->not_ready == 0)
		return 0;
	sim->not_ready--;
	return -CORE_EAGAIN;
}

/* Every site traps and has its old tail; only then it is asked for. */
static int sim_drain(void *host, const struct poke *poke, const struct host_range *ranges, size_t n,
		     uint64_t deadline_ns)
{
	struct sim *sim = host;
	tick(sim);
	assert_true(sim->gate_open);
	for (size_t i = 0; i < poke->n; i++) {
		const struct poke_site *site = &poke->sites[i];
		assert_memory_equal(sim_at(sim, site->address), poke->trap, poke->trap_length);
		assert_memory_equal(sim_at(sim, site->address) + poke->trap_length,
				    site->old_bytes + poke->trap_length, site->length - poke->trap_length);
		assert_ptr_equal(poke_find_trap(poke, site->address), site);
	}
	sim->drains++;
	sim->n_ranges = n < 256 ? n : 256;
	memcpy(sim->ranges, ranges, sim->n_ranges * sizeof(*ranges));
	record(sim, SIM_DRAIN, 0, 0);
	if (fails(sim, false))
		return -CORE_EIO;
	if (sim->quiescent_error)
		return sim->quiescent_error;
	if (sim->core_looks > 0) {
		sim->core_looks--;
		for (size_t i = 0; i < n; i++)
			if (sim->core >= ranges[i].start && sim->core < ranges[i].end) {
				sim->now_ns = deadline_ns;
				return -CORE_EAGAIN;
			}
	}
	sim->drained = true;
	trace(sim, "| ");
	return 0;
}

static int sim_let_go(void *host, const struct poke *poke)
{
	struct sim *sim = host;
	tick(sim);
	assert_true(sim->gate_open);
	assert_true(poke->phase != POKE_READY || poke->n == 0 || sim->faulted || !sim->drained);
	sim->let_goes++;
	sim->drained = false;
	trace(sim, "~ ");
	return fails(sim, false) ? -CORE_EIO : 0;
}

static int sim_gate_close(void *host)
{
	struct sim *sim = host;
	tick(sim);
	assert_true(sim->gate_open);
	sim->gate_open = false;
	sim->closes++;
	trace(sim, ") ");
	return fails(sim, false) ? -CORE_EIO : 0;
}

static int sim_release(void *host)
{
	struct sim *sim = host;
	tick(sim);
	assert_true(sim->stopped);
	sim->releases++;
	sim->stopped = false;
	trace(sim, "] ");
	return fails(sim, false) ? -CORE_EIO : 0;
}

static int sim_hook(void *host, const struct engine_payload *payload, enum hook_kind kind, size_t index,
		    int *result)
{
	static const char *const names[HOOK_KINDS] = {"load",	    "unload",	   "pre-apply", "post-apply",
						      "pre-revert", "post-revert", "apply",	"revert"};
	static const bool quiescent[HOOK_KINDS] = {
		[HOOK_LOAD] = true, [HOOK_UNLOAD] = true, [HOOK_APPLY] = true, [HOOK_REVERT] = true};
	struct sim *sim = host;
	char line[128];
	tick(sim);
	assert_int_equal(sim->stopped, quiescent[kind]);
	assert_true(index < payload->hooks[kind]);
	snprintf(line, sizeof(line), "%s:%s#%zu ", payload->name, names[kind], index);
	trace(sim, line);
	if (fails(sim, false))
		return -CORE_EIO;
	if (sim->hook_only && sim->hook_only != payload)
		return 0;
	size_t switches = 0;
	switch (sim->hook_does[kind]) {
	case SIM_HOOK_PLAIN:
		break;
	case SIM_HOOK_SWITCHES_ALL:
		switches = payload->n_sites;
		break;
	case SIM_HOOK_SWITCHES_SOME:
		switches = 1;
		break;
	case SIM_HOOK_WRITES_JUNK:
		memset(sim_at(sim, payload->sites[0].address), 0x5a, payload->sites[0].length);
		break;
	case SIM_HOOK_CANNOT_RUN:
		return -CORE_EIO;
	}
	for (size_t i = 0; i < switches; i++)
		memcpy(sim_at(sim, payload->sites[i].address),
		       kind == HOOK_APPLY ? payload->sites[i].new_bytes : payload->sites[i].saved,
		       payload->sites[i].length);
	*result = sim->hook_result[kind];
	return 0;
}

static int sim_intent(void *host, const struct action_intent *intent)
{
	struct sim *sim = host;
	tick(sim);
	if (fails(sim, false))
		return -CORE_EIO;
	sim->intents++;
	free(sim->journal);
	sim->journal = calloc(intent->n_sites + 1, sizeof(*sim->journal));
	memcpy(sim->journal, intent->sites, intent->n_sites * sizeof(*sim->journal));
	sim->intent = *intent;
	sim->intent.sites = sim->journal;
	sim->has_intent = true;
	sim->committed = false;
	return 0;
}

static int sim_commit(void *host, const struct action_intent *intent)
{
	struct sim *sim = host;
	tick(sim);
	assert_true(sim->has_intent);
	assert_true(sim->stopped || sim->drained);
	assert_int_equal(sim->intent.n_sites, intent->n_sites);
	for (size_t i = 0; i < intent->n_sites; i++) {
		const struct poke_site *site = &sim->journal[i];
		/* By gate no first byte is new yet: what a trap means is about to change, for all at once. */
		const uint8_t *tail = sim->commit_late ? site->new_bytes : site->old_bytes;
		if (sim->drained)
			assert_memory_equal(sim_at(sim, site->address) + 1, tail + 1, site->length - 1u);
		else
			assert_memory_equal(sim_at(sim, site->address), site->new_bytes, site->length);
	}
	if (fails(sim, false))
		return -CORE_EIO;
	sim->commits++;
	sim->committed = true;
	return 0;
}

static int sim_retract(void *host, const struct action_intent *intent)
{
	struct sim *sim = host;
	(void)intent;
	tick(sim);
	assert_true(sim->committed);
	assert_true(sim->drained);
	if (fails(sim, false))
		return -CORE_EIO;
	sim->retracts++;
	sim->committed = false;
	return 0;
}

static int sim_settled(void *host, const struct action_intent *intent, int status)
{
	struct sim *sim = host;
	(void)intent;
	tick(sim);
	assert_false(sim->stopped);
	assert_false(sim->gate_open);
	sim->settled_status = status;
	if (fails(sim, false))
		return -CORE_EIO;
	sim->settles++;
	if (sim->on_settled)
		sim->on_settled(sim);
	sim->has_intent = false;
	return 0;
}

static bool sim_has_symbol(void *host, const char *symbol)
{
	struct sim *sim = host;
	return sim->symbol && strcmp(sim->symbol, symbol) == 0;
}

static void sim_log(void *host, const char *payload, const char *what, int64_t value)
{
	struct sim *sim = host;
	(void)value;
	sim->logs++;
	if (!payload || !*payload || !what || !*what)
		sim->logs_without_name++;
}

struct sim *sim_create(size_t size)
{
	struct sim *sim = calloc(1, sizeof(*sim));
	assert_non_null(sim);
	sim->ops = (struct host_ops){
		.read = sim_read,
		.write = sim_write,
		.sync = sim_sync,
		.now_ns = sim_now,
		.relax = sim_relax,
		.pause = sim_pause,
		.stop = sim_stop,
		.quiescent = sim_quiescent,
		.release = sim_release,
		.gate_open = sim_gate_open,
		.ready = sim_ready,
		.drain = sim_drain,
		.let_go = sim_let_go,
		.gate_close = sim_gate_close,
		.retract = sim_retract,
		.hook = sim_hook,
		.intent = sim_intent,
		.commit = sim_commit,
		.settled = sim_settled,
		.has_symbol = sim_has_symbol,
		.log = sim_log,
	};
	sim->base = SIM_BASE;
	sim->size = size;
	sim->text = malloc(size);
	sim->pristine = malloc(size);
	assert_non_null(sim->text);
	assert_non_null(sim->pristine);
	/* No byte is a trap, and neighbours differ. */
	for (size_t i = 0; i < size; i++)
		sim->pristine[i] = sim->text[i] = (uint8_t)(i * 7 % 0xa0);
	return sim;
}

void sim_destroy(struct sim *sim)
{
	free(sim->text);
	free(sim->pristine);
	free(sim->journal);
	free(sim);
}
