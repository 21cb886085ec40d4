/* SPDX-License-Identifier: MIT */
/* The batch: what is refused, how many syncs, the look-up, and every failure in turn. */
#include "sim.h"

static struct poke_site *make_sites(struct sim *sim, size_t n, size_t length, size_t stride)
{
	struct poke_site *sites = calloc(n + 1, sizeof(*sites));
	assert_non_null(sites);
	for (size_t i = 0; i < n; i++) {
		sites[i].address = sim->base + i * stride;
		sites[i].length = (uint8_t)length;
		memcpy(sites[i].old_bytes, sim_at(sim, sites[i].address), length);
		for (size_t k = 0; k < length; k++)
			sites[i].new_bytes[k] = (uint8_t)(0xe0 + (i + k) % 16);
	}
	return sites;
}

static bool all_new(struct sim *sim, const struct poke_site *sites, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (memcmp(sim_at(sim, sites[i].address), sites[i].new_bytes, sites[i].length) != 0)
			return false;
	return true;
}

static void init(struct poke *poke, struct sim *sim, struct poke_site *sites, size_t n)
{
	assert_int_equal(poke_init(poke, &sim->ops, sim, sim_trap, 1, sites, n), 0);
}

static void syncs_do_not_depend_on_n(void **state)
{
	(void)state;
	static const size_t counts[] = {1, 56, 1000, 100000};
	for (size_t c = 0; c < 4; c++) {
		size_t n = counts[c];
		struct sim *sim = sim_create(n * 8);
		struct poke_site *sites = make_sites(sim, n, 5, 8);
		struct poke poke;

		init(&poke, sim, sites, n);
		assert_int_equal(poke_gate(&poke), 0);
		assert_int_equal(poke.syncs, 1);
		for (size_t i = 0; i < n; i++)
			assert_int_equal(*sim_at(sim, sites[i].address), 0xcc);
		assert_int_equal(poke_switch(&poke), 0);
		assert_int_equal(poke.syncs, 3);
		assert_int_equal(sim->syncs, 3);
		assert_int_equal(poke.phase, POKE_DONE);
		assert_true(all_new(sim, sites, n));

		memcpy(sim->text, sim->pristine, sim->size);
		sim->syncs = 0;
		init(&poke, sim, sites, n);
		assert_int_equal(poke_gate(&poke), 0);
		assert_int_equal(poke_abort(&poke), 0);
		assert_int_equal(sim->syncs, 2);
		assert_int_equal(poke.syncs, 2);
		assert_int_equal(poke.phase, POKE_BACK);
		assert_true(sim_pristine(sim));

		sim->syncs = 0;
		init(&poke, sim, sites, n);
		sim->n_events = 0;
		assert_int_equal(poke_stopped(&poke), 0);
		assert_int_equal(sim->syncs, 1);
		for (size_t i = 0; i < sim->n_events; i++)
			assert_true(sim->events[i].kind != SIM_WRITE || sim->events[i].byte != 0xcc);
		assert_true(all_new(sim, sites, n));
		assert_int_equal(poke_stopped_undo(&poke), 0);
		assert_true(sim_pristine(sim));
		free(sites);
		sim_destroy(sim);
	}
}

static void one_byte_sites_have_no_tails(void **state)
{
	(void)state;
	struct sim *sim = sim_create(SIM_SIZE);
	struct poke_site *sites = make_sites(sim, 10, 1, 1);
	struct poke poke;
	init(&poke, sim, sites, 10);
	assert_int_equal(poke_gate(&poke), 0);
	assert_int_equal(poke_switch(&poke), 0);
	assert_int_equal(sim->syncs, 2);
	assert_true(all_new(sim, sites, 10));
	free(sites);
	sim_destroy(sim);
}

static void four_byte_trap(void **state)
{
	(void)state;
	static const uint8_t brk[4] = {0x00, 0x00, 0x20, 0xd4};
	struct sim *sim = sim_create(SIM_SIZE);
	struct poke_site *sites = make_sites(sim, 4, 8, 16);
	struct poke poke;
	sites[1].length = 4; /* all head, no tail */
	assert_int_equal(poke_init(&poke, &sim->ops, sim, brk, 4, sites, 4), 0);
	assert_int_equal(poke_gate(&poke), 0);
	assert_memory_equal(sim_at(sim, sites[0].address), brk, 4);
	assert_int_equal(poke_switch(&poke), 0);
	assert_int_equal(sim->syncs, 3);
	assert_true(all_new(sim, sites, 4));
	sites[1].length = 3;
	assert_int_equal(poke_init(&poke, &sim->ops, sim, brk, 4, sites, 4), -CORE_EINVAL);
	assert_int_equal(poke.failed_site, 1);
	free(sites);
	sim_destroy(sim);
}

static void refused(struct sim *sim, struct poke_site *sites, size_t n, int error, size_t site)
{
	struct poke poke;
	assert_int_equal(poke_init(&poke, &sim->ops, sim, sim_trap, 1, sites, n), error);
	assert_int_equal(poke.failed_site, site);
	/* Whoever goes on all the same writes nothing. */
	(void)poke_gate(&poke);
	(void)poke_switch(&poke);
	(void)poke_stopped(&poke);
	assert_int_equal(sim->writes, 0);
	assert_true(sim_pristine(sim));
}

static void malformed_vectors_are_refused(void **state)
{
	(void)state;
	struct sim *sim = sim_create(SIM_SIZE);
	struct poke_site *sites = make_sites(sim, 4, 5, 16);
	struct poke_site good = sites[2];

	sites[2].address = sites[0].address - 1;
	refused(sim, sites, 4, -CORE_EINVAL, 2);
	sites[2].address = sites[1].address; /* twice the same */
	refused(sim, sites, 4, -CORE_EEXIST, 2);
	sites[2].address = sites[1].address + 4; /* one byte shared */
	refused(sim, sites, 4, -CORE_EEXIST, 2);
	sites[2] = good;
	sites[2].length = 0;
	refused(sim, sites, 4, -CORE_EINVAL, 2);
	sites[2].length = 32;
	refused(sim, sites, 4, -CORE_EINVAL, 2);
	sites[2] = good;
	sites[3].address = UINT64_MAX - 4;
	refused(sim, sites, 4, -CORE_EOVERFLOW, 3);
	free(sites);

	struct poke_site *many = calloc(POKE_SITES_MAX + 1, sizeof(*many));
	for (size_t i = 0; i <= POKE_SITES_MAX; i++)
		many[i] = (struct poke_site){.address = sim->base + i, .length = 1};
	assert_int_equal(poke_check(many, POKE_SITES_MAX, 1, NULL), 0);
	refused(sim, many, POKE_SITES_MAX + 1, -CORE_E2BIG, POKE_NO_SITE);
	free(many);
	sim_destroy(sim);
}

static void touching_sites_are_fine(void **state)
{
	(void)state;
	struct sim *sim = sim_create(SIM_SIZE);
	struct poke_site *sites = make_sites(sim, 3, 5, 5);
	struct poke poke;
	init(&poke, sim, sites, 3);
	assert_int_equal(poke_stopped(&poke), 0);
	assert_true(all_new(sim, sites, 3));
	free(sites);
	sim_destroy(sim);
}

static void other_bytes_are_left_alone(void **state)
{
	(void)state;
	struct sim *sim = sim_create(SIM_SIZE);
	struct poke_site *sites = make_sites(sim, 4, 5, 16);
	struct poke poke;
	for (int stopped = 0; stopped < 2; stopped++) {
		sites[3].old_bytes[4] ^= 1;
		init(&poke, sim, sites, 4);
		assert_int_equal(stopped ? poke_stopped(&poke) : poke_gate(&poke), -CORE_EBADMSG);
		sites[3].old_bytes[4] ^= 1;
		assert_int_equal(poke.failed_site, 3);
		assert_int_equal(poke.phase, POKE_READY);
		assert_int_equal(sim->writes, 0);
		assert_int_equal(sim->syncs, 0);
	}
	/* A trap in the code itself cannot be told from the gate's. */
	sites[1].new_bytes[0] = 0xcc;
	init(&poke, sim, sites, 4);
	assert_int_equal(poke_gate(&poke), -CORE_EINVAL);
	assert_int_equal(poke.failed_site, 1);
	assert_int_equal(sim->writes, 0);
	free(sites);
	sim_destroy(sim);
}

static void wrong_order_is_refused(void **state)
{
	(void)state;
	struct sim *sim = sim_create(SIM_SIZE);
	struct poke_site *sites = make_sites(sim, 2, 5, 16);
	struct poke poke;
	init(&poke, sim, sites, 2);
	assert_int_equal(poke_switch(&poke), -CORE_EINVAL); /* tails without a gate */
	assert_int_equal(poke_abort(&poke), -CORE_EINVAL);
	assert_int_equal(poke_stopped_undo(&poke), -CORE_EINVAL);
	assert_int_equal(sim->writes, 0);
	assert_int_equal(poke_gate(&poke), 0);
	assert_int_equal(poke_gate(&poke), -CORE_EINVAL);
	assert_int_equal(poke_stopped(&poke), -CORE_EINVAL);
	assert_int_equal(poke_switch(&poke), 0);
	assert_int_equal(poke_switch(&poke), -CORE_EINVAL);
	assert_int_equal(poke_abort(&poke), -CORE_EINVAL);
	assert_true(all_new(sim, sites, 2));
	assert_int_equal(poke_init(&poke, &sim->ops, sim, NULL, 0, sites, 2), 0);
	assert_int_equal(poke_gate(&poke), -CORE_EINVAL); /* no trap given */
	assert_int_equal(poke_init(&poke, &sim->ops, sim, sim_trap, 5, sites, 2), -CORE_EINVAL);
	free(sites);
	sim_destroy(sim);
}

static void traps_are_found(void **state)
{
	(void)state;
	static const size_t counts[] = {1, 2, 3, 1000};
	for (size_t c = 0; c < 4; c++) {
		size_t n = counts[c];
		struct sim *sim = sim_create(SIM_SIZE);
		struct poke_site *sites = make_sites(sim, n, 5, 8);
		struct poke poke;
		init(&poke, sim, sites, n);
		assert_null(poke_find_trap(&poke, sites[0].address)); /* not published */
		assert_int_equal(poke_gate(&poke), 0);
		for (size_t i = 0; i < n; i++) {
			assert_ptr_equal(poke_find_trap(&poke, sites[i].address), &sites[i]);
			assert_null(poke_find_trap(&poke, sites[i].address + 1));
			assert_null(poke_find_trap(&poke, sites[i].address - 1));
		}
		assert_null(poke_find_trap(&poke, 0));
		assert_null(poke_find_trap(&poke, UINT64_MAX));
		assert_int_equal(poke_abort(&poke), 0);
		poke_retire(&poke);
		assert_null(poke_find_trap(&poke, sites[0].address));
		free(sites);
		sim_destroy(sim);
	}
}

/* Each site's state is what really stands there. */
static void states_are_exact(struct sim *sim, const struct poke_site *sites, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		const uint8_t *now = sim_at(sim, sites[i].address);
		const uint8_t *tail = NULL;
		size_t length = sites[i].length;
		switch (sites[i].state) {
		case POKE_SITE_OLD:
			assert_memory_equal(now, sites[i].old_bytes, length);
			continue;
		case POKE_SITE_NEW:
			assert_memory_equal(now, sites[i].new_bytes, length);
			continue;
		case POKE_SITE_TRAP_OLD:
			tail = sites[i].old_bytes;
			break;
		case POKE_SITE_TRAP_NEW:
			tail = sites[i].new_bytes;
			break;
		default:
			/* Torn: only where a write was made to fail half way. */
			assert_int_equal(sim->how, SIM_HALF_DONE);
			continue;
		}
		assert_int_equal(now[0], 0xcc);
		assert_memory_equal(now + 1, tail + 1, length - 1);
	}
}

/* Every write and every sync fails in turn, in every manner: all old, or under the gate and then all old. */
static void each_failure_leaves_all_old(void **state)
{
	(void)state;
	size_t n = 5, undone = 0, gated = 0;
	for (int stopped = 0; stopped < 2; stopped++)
		for (int how = SIM_NOT_DONE; how <= SIM_HALF_DONE; how++)
			for (unsigned k = 1;; k++) {
				struct sim *sim = sim_create(SIM_SIZE);
				struct poke_site *sites = make_sites(sim, n, 5, 8);
				struct poke poke;
				sim->only_writes_and_syncs = true;
				sim->fail_at = k;
				sim->how = (enum sim_fault)how;
				init(&poke, sim, sites, n);
				int r = stopped ? poke_stopped(&poke) : poke_gate(&poke);
				if (r == 0 && !stopped)
					r = poke_switch(&poke);
				bool last = !sim->faulted;
				if (last) {
					assert_int_equal(r, 0);
				} else {
					assert_int_equal(r, -CORE_EIO);
					states_are_exact(sim, sites, n);
					if (poke.phase == POKE_GATED) {
						assert_false(stopped);
						gated++;
						assert_int_equal(poke_switch(&poke), -CORE_EINVAL);
						assert_int_equal(poke_abort(&poke), 0);
					}
					assert_int_equal(poke.phase, POKE_BACK);
					assert_false(poke.stale);
					assert_true(sim_pristine(sim));
					undone++;
				}
				free(sites);
				sim_destroy(sim);
				if (last)
					break;
			}
	assert_true(undone >= 3 * (2 * n + n + 4));
	assert_true(gated >= 3 * n);
}

/* From the k-th write or sync on everything fails, the undoing too: what stands where is said exactly. */
static void failed_undo_is_reported_exactly(void **state)
{
	(void)state;
	size_t n = 5, mixed = 0, repaired = 0;
	for (int stopped = 0; stopped < 2; stopped++)
		for (int how = SIM_NOT_DONE; how <= SIM_HALF_DONE; how++)
			for (unsigned k = 1;; k++) {
				struct sim *sim = sim_create(SIM_SIZE);
				struct poke_site *sites = make_sites(sim, n, 5, 8);
				struct poke poke;
				sim->only_writes_and_syncs = true;
				sim->fail_at = k;
				sim->sticky = true;
				sim->how = (enum sim_fault)how;
				init(&poke, sim, sites, n);
				int r = stopped ? poke_stopped(&poke) : poke_gate(&poke);
				if (r == 0 && !stopped)
					r = poke_switch(&poke);
				bool last = !sim->faulted;
				if (!last) {
					assert_true(r < 0);
					states_are_exact(sim, sites, n);
					mixed += poke.phase == POKE_MIXED;
					if (poke.phase == POKE_BACK)
						assert_true(sim_pristine(sim));
					else
						assert_true(poke.phase == POKE_MIXED ||
							    poke.phase == POKE_GATED);
					/* The world heals: the same batch finds its way back. */
					sim->fail_at = 0;
					if (!stopped && poke.phase != POKE_BACK) {
						for (int tries = 0; tries < 3 && poke.phase != POKE_BACK;
						     tries++)
							(void)poke_abort(&poke);
						repaired += poke.phase == POKE_BACK;
						if (how != SIM_HALF_DONE)
							assert_int_equal(poke.phase, POKE_BACK);
					}
				}
				free(sites);
				sim_destroy(sim);
				if (last)
					break;
			}
	assert_true(mixed > 20);
	assert_true(repaired > 5);
}

static void interrupted_batches_are_recovered(void **state)
{
	(void)state;
	for (int forward = 0; forward < 2; forward++) {
		struct sim *sim = sim_create(SIM_SIZE);
		struct poke_site *sites = make_sites(sim, 6, 5, 16);
		struct poke poke;
		/* Across a page boundary, cut there. */
		sites[5].address = sim->base + 4096 - 2;
		memcpy(sites[5].old_bytes, sim_at(sim, sites[5].address), 5);
		memcpy(sim_at(sim, sites[5].address), sites[5].new_bytes, 2);
		/* New; trap and old tail; trap and new tail; old. */
		memcpy(sim_at(sim, sites[1].address), sites[1].new_bytes, 5);
		*sim_at(sim, sites[2].address) = 0xcc;
		memcpy(sim_at(sim, sites[3].address), sites[3].new_bytes, 5);
		*sim_at(sim, sites[3].address) = 0xcc;
		init(&poke, sim, sites, 6);
		assert_int_equal(poke_recover(&poke, forward), 0);
		assert_int_equal(sim->syncs, 1);
		assert_int_equal(poke.phase, forward ? POKE_DONE : POKE_BACK);
		if (forward)
			assert_true(all_new(sim, sites, 6));
		else
			assert_true(sim_pristine(sim));
		free(sites);
		sim_destroy(sim);
	}
}

static void foreign_bytes_stop_recovery(void **state)
{
	(void)state;
	struct sim *sim = sim_create(SIM_SIZE);
	struct poke_site *sites = make_sites(sim, 4, 5, 16);
	struct poke poke;
	memcpy(sim_at(sim, sites[0].address), sites[0].new_bytes, 5);
	for (int what = 0; what < 4; what++) {
		uint8_t *at = sim_at(sim, sites[2].address);
		memcpy(at, sites[2].old_bytes, 5);
		switch (what) {
		case 0: /* somebody's byte in the middle */
			at[3] ^= 0x40;
			break;
		case 1: /* half of ours, but not cut at a page */
			memcpy(at, sites[2].new_bytes, 2);
			break;
		case 2: /* a trap and a tail that is neither */
			at[0] = 0xcc;
			at[4] ^= 0x40;
			break;
		case 3: /* a trap, where none of ours can be */
			at[0] = 0xcc;
			break;
		}
		uint8_t *before = malloc(sim->size);
		memcpy(before, sim->text, sim->size);
		sim->writes = 0;
		assert_int_equal(poke_init(&poke, &sim->ops, sim, what == 3 ? NULL : sim_trap,
					   what == 3 ? 0 : 1, sites, 4),
				 0);
		assert_int_equal(poke_recover(&poke, false), -CORE_EBADMSG);
		assert_int_equal(poke.failed_site, 2);
		assert_int_equal(sim->writes, 0);
		assert_memory_equal(before, sim->text, sim->size);
		free(before);
	}
	free(sites);
	sim_destroy(sim);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(syncs_do_not_depend_on_n),
		cmocka_unit_test(one_byte_sites_have_no_tails),
		cmocka_unit_test(four_byte_trap),
		cmocka_unit_test(malformed_vectors_are_refused),
		cmocka_unit_test(touching_sites_are_fine),
		cmocka_unit_test(other_bytes_are_left_alone),
		cmocka_unit_test(wrong_order_is_refused),
		cmocka_unit_test(traps_are_found),
		cmocka_unit_test(each_failure_leaves_all_old),
		cmocka_unit_test(failed_undo_is_reported_exactly),
		cmocka_unit_test(interrupted_batches_are_recovered),
		cmocka_unit_test(foreign_bytes_stop_recovery),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
