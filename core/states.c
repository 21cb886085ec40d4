/* SPDX-License-Identifier: MIT */
/* What an action that has happened does to the stack. The only place that changes a payload's state. */
#include "core/engine_internal.h"

static void off(struct engine_payload *payload)
{
	payload->state = PAYLOAD_STATE_CHECKED;
	payload->switched = false;
}

void states_apply(struct engine *engine, struct engine_payload *payload, bool switched)
{
	payload->state = PAYLOAD_STATE_APPLIED;
	payload->was_applied = payload->entered = true;
	payload->switched = switched;
	engine_push(engine, payload);
	engine->generation++;
}

void states_revert(struct engine *engine, struct engine_payload *payload)
{
	off(payload);
	engine_pop(engine);
	engine->generation++;
}

void states_replace(struct engine *engine, struct engine_payload *payload, bool switched)
{
	for (struct engine_payload *p = engine->top; p; p = p->below) {
		off(p);
		p->above = NULL;
	}
	engine->top = engine->bottom = NULL;
	engine->n_applied = 0;
	states_apply(engine, payload, switched);
}
