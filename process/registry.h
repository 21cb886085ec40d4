/* SPDX-License-Identifier: MIT */
/*
 * The registry: usplice's state, living in the target as a private mapping of a memfd named "usplice" (so it
 * shows in the maps by name, is inherited over fork and gone with the process). It holds a header and two
 * tables of payloads, of which one counts: a change is written into the other, and then one word, `current`,
 * is flipped. That word is the commit point of every action. Texts are made to agree with the table that
 * counts, never the other way round, so recovery is: compute what the sites should hold, and write it.
 *
 * What is read from the target is hostile; a damaged registry is reported and left alone.
 */
#ifndef PROCESS_REGISTRY_H
#define PROCESS_REGISTRY_H

#include "process/maps.h"
#include "process/net/net.h"
#include "process/record.h"
#include "process/remote/remote.h"

#define REGISTRY_NAME	      "usplice"
#define REGISTRY_MAPPING      "/memfd:" REGISTRY_NAME
#define REGISTRY_PAYLOADS_MAX 256
#define REGISTRY_VERSION      3

enum registry_action { /* what in_flight and last_action hold */
	REGISTRY_NONE,
	REGISTRY_UPLOAD,
	REGISTRY_APPLY,
	REGISTRY_REVERT,
	REGISTRY_REPLACE,
	REGISTRY_UNLOAD,
};

struct registry_entry {	 /* 128 bytes in the target */
	uint64_t record; /* address; 0: free */
	uint64_t record_size;
	uint64_t base, size;  /* the whole mapping: image and record */
	uint32_t state;	      /* enum usp_state */
	uint32_t position;    /* in the stack, from 1; 0: not applied */
	uint32_t last_action; /* enum registry_action */
	uint32_t last_result; /* enum usp_code */
	uint32_t applied_once;
	uint32_t switched;	/* applied, and its sites stand (an apply hook may have switched none) */
	uint32_t entered;	/* a thread may have been inside its code */
	uint32_t unwind;	/* enum usp_unwind */
	uint64_t unwind_object; /* libgcc's object, in the image's mapping; 0: none */
	uint64_t order;		/* of upload */
	uint8_t reserved[48];
};

struct registry_header { /* at the mapping's start */
	uint8_t magic[8];
	uint32_t version, size;
	uint64_t current;    /* 0 or 1: the table that counts. The commit word */
	uint64_t generation; /* of the tables: +1 a change */
	struct remote_area area;
	/* What is under way, so that whoever comes next can finish or undo it. */
	uint64_t in_flight;		/* enum registry_action */
	uint64_t pending, pending_size; /* a mapping that is being made, or taken away */
	struct net_area net;		/* the gate's safety net; kept once mapped */
	uint64_t net_armed;		/* its handler may be installed, masks may be changed */
	uint64_t shadow;		/* process/shadow.h; 0: none yet. Kept once mapped */
};

struct registry {
	uint64_t address; /* 0: the target has none */
	struct registry_header header;
	struct registry_entry entries[REGISTRY_PAYLOADS_MAX]; /* of the table that counts */
	struct record *records[REGISTRY_PAYLOADS_MAX];	      /* parsed; NULL: free entry */
};

/* Finds and reads it. No registry is no error: address is 0. */
_must_check_ struct usp_error *registry_read(const struct target *target, const struct maps *maps,
					     struct registry **ret);
void registry_destroy(struct registry *registry); /* the controller's copy; NULL is fine */

/* Makes one, with the remote area noted in it. Descriptors that a killed controller left in the target are
 * closed. */
_must_check_ struct usp_error *registry_create(const struct target *target, struct remote *remote,
					       const struct remote_area *area, struct registry *registry);

/* Writes registry->entries as the new table and makes it count. The commit point: done or not done, nothing
 * between. */
_must_check_ struct usp_error *registry_commit(const struct target *target, struct registry *registry);
/* The same in two steps, for the middle of a switch: everything but the word, then the word. */
_must_check_ struct usp_error *registry_stage(const struct target *target, const struct registry *registry);
_must_check_ int registry_flip(const struct target *target, struct registry *registry);

/* Notes what is under way (REGISTRY_NONE: nothing any more). */
_must_check_ struct usp_error *registry_set_in_flight(const struct target *target, struct registry *registry,
						      enum registry_action action);
_must_check_ struct usp_error *registry_set_pending(const struct target *target, struct registry *registry,
						    uint64_t address, uint64_t size);

/* Where the net lies, and whether it is armed. */
_must_check_ struct usp_error *registry_set_net(const struct target *target, struct registry *registry,
						const struct net_area *net, bool armed);

/* Where the shadow data lies. */
_must_check_ struct usp_error *registry_set_shadow(const struct target *target, struct registry *registry,
						   uint64_t address);

/* The entry's index, or -1. */
int registry_find_name(const struct registry *registry, const char *name);
int registry_find_build_id(const struct registry *registry, const uint8_t *build_id, size_t size);
int registry_find_free(const struct registry *registry);
/* The entry at a position of the stack (from 1), or -1; registry_height() is the topmost position. */
int registry_at_position(const struct registry *registry, uint32_t position);
uint32_t registry_height(const struct registry *registry);

#endif
