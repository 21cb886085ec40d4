/* SPDX-License-Identifier: MIT */
#include "world.h"

#include <stdio.h>

uint64_t world_function(size_t i)
{
	return SIM_BASE + 0x100 * i;
}

static void keep(struct sim *sim)
{
	world_keep(sim->user);
}

struct world *world_create(void)
{
	struct world *world = calloc(1, sizeof(*world));
	assert_non_null(world);
	world->sim = sim_create(SIM_SIZE);
	world->sim->check_stopped = true;
	world->sim->on_settled = keep;
	world->sim->user = world;
	engine_init(&world->engine, &world->sim->ops, world->sim, &arch_x86_64);
	engine_give_room(&world->engine, world->sites, sizeof(world->sites) / sizeof(world->sites[0]),
			 world->ranges, sizeof(world->ranges) / sizeof(world->ranges[0]));
	return world;
}

void world_destroy(struct world *world)
{
	/* True after any test: nobody is left standing, no line without a name, no action in flight. */
	assert_false(world->sim->stopped);
	assert_false(world->sim->gate_open);
	assert_int_equal(world->sim->logs_without_name, 0);
	assert_int_equal(world->engine.in_flight, 0);
	sim_destroy(world->sim);
	free(world);
}

struct engine_payload *world_payload(struct world *world, const char *name, unsigned mask,
				     const struct engine_payload *depends)
{
	assert_true(world->n_things < WORLD_PAYLOADS);
	size_t id = world->n_things++;
	struct thing *t = &world->things[id];
	snprintf(t->name, sizeof(t->name), "%s", name);
	t->p = (struct engine_payload){
		.name = t->name,
		.build_id = {20, {1, (uint8_t)(id + 1)}},
		.target = {20, {0x77}},
		.found = {20, {0x77}},
		.sites = t->sites,
		.old_ranges = t->old,
		.text = {SIM_BASE + 0x8000 + 0x100 * id, SIM_BASE + 0x8000 + 0x100 * id + 0x80},
	};
	if (depends)
		t->p.depends = depends->build_id;
	for (size_t i = 0; i < WORLD_SITES; i++) {
		if (!(mask >> i & 1))
			continue;
		struct engine_site *site = &t->sites[t->p.n_sites];
		*site = (struct engine_site){.address = world_function(i), .length = 5, .has_expected = true};
		assert_int_equal(
			arch_x86_64.encode_jump(site->address, t->p.text.start + 8 * i, site->new_bytes), 0);
		memcpy(site->expected, world->sim->pristine + 0x100 * i, 5);
		t->old[t->p.n_sites] = (struct host_range){world_function(i) + 1, world_function(i) + 0x40};
		t->p.n_old_ranges = ++t->p.n_sites;
	}
	return &t->p;
}

const char *world_call(struct world *world, size_t i)
{
	const uint8_t *now = sim_at(world->sim, world_function(i));
	for (size_t k = 0; k < world->n_things; k++) {
		const struct thing *t = &world->things[k];
		for (size_t s = 0; s < t->p.n_sites; s++)
			if (t->sites[s].address == world_function(i) &&
			    memcmp(now, t->sites[s].new_bytes, t->sites[s].length) == 0)
				return t->name;
	}
	return memcmp(now, world->sim->pristine + 0x100 * i, 0x40) == 0 ? "original" : "broken";
}

const char *world_stack(struct world *world)
{
	static char line[512];
	size_t n = 0, up = 0, down = 0;
	line[0] = 0;
	for (const struct engine_payload *p = world->engine.bottom; p; p = p->above, up++) {
		assert_int_equal(p->state, PAYLOAD_STATE_APPLIED);
		n += (size_t)snprintf(line + n, sizeof(line) - n, n ? " %s" : "%s", p->name);
	}
	for (const struct engine_payload *p = world->engine.top; p; p = p->below)
		down++;
	assert_int_equal(up, down);
	assert_int_equal(up, world->engine.n_applied);
	return line;
}

void world_keep(struct world *world)
{
	world->n_kept = world->n_kept_stack = 0;
	for (struct engine_payload *p = world->engine.payloads; p; p = p->next)
		world->kept_list[world->n_kept++] = p;
	for (struct engine_payload *p = world->engine.bottom; p; p = p->above)
		world->kept_stack[world->n_kept_stack++] = p;
	memcpy(world->kept, world->things, sizeof(world->kept));
}

void world_next_controller(struct world *world)
{
	struct engine old = world->engine;
	enum action_reason reason;

	memcpy(world->things, world->kept, sizeof(world->things));
	world->sim->stopped = world->sim->gate_open = world->sim->drained = false;
	engine_init(&world->engine, &world->sim->ops, world->sim, &arch_x86_64);
	engine_give_room(&world->engine, old.sites, old.sites_max, old.ranges, old.ranges_max);
	for (size_t i = 0; i < world->n_kept_stack; i++)
		assert_int_equal(engine_adopt(&world->engine, world->kept_stack[i], &reason), 0);
	for (size_t i = 0; i < world->n_kept; i++)
		if (world->kept_list[i]->state == PAYLOAD_STATE_CHECKED)
			assert_int_equal(engine_adopt(&world->engine, world->kept_list[i], &reason), 0);
}
