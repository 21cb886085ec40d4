// SPDX-License-Identifier: MIT
#include "process/registry.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include <usplice/list.h>

#include "process/remote/memfd.h"

#define HEADER_SIZE   4096u
#define TABLE_SIZE    ((uint32_t)(REGISTRY_PAYLOADS_MAX * sizeof(struct registry_entry)))
#define REGISTRY_SIZE (HEADER_SIZE + 2 * TABLE_SIZE)

static const uint8_t registry_magic[8] = {'u', 's', 'p', 'l', 'i', 'c', 'e', 1};

_Static_assert(sizeof(struct registry_entry) == 128, "an entry is 128 bytes");
_Static_assert(sizeof(struct registry_header) <= HEADER_SIZE, "the header fits its page");

static uint64_t table_address(const struct registry *registry, uint64_t which)
{
	return registry->address + HEADER_SIZE + which * TABLE_SIZE;
}

static struct usp_error *damaged(const char *what)
{
	return usp_errorf(USP_FAILED,
			  "the usplice registry in the target is damaged (%s); nothing was changed. Restart "
			  "the program to be rid of it",
			  what);
}

static bool is_registry_mapping(const struct mapping *mapping)
{
	size_t length = strlen(REGISTRY_MAPPING);
	return !strncmp(mapping->name, REGISTRY_MAPPING, length) &&
	       (!mapping->name[length] || mapping->name[length] == ' ');
}

static struct usp_error *check_entry(const struct registry_entry *entry)
{
	if (entry->record_size > RECORD_SIZE_MAX || entry->base + entry->size < entry->base ||
	    entry->record < entry->base || entry->record - entry->base > entry->size ||
	    entry->record_size > entry->size - (entry->record - entry->base))
		return damaged("an entry's addresses");
	if ((entry->state != USP_STATE_CHECKED && entry->state != USP_STATE_APPLIED) ||
	    (entry->state == USP_STATE_APPLIED) != (entry->position != 0) ||
	    entry->position > REGISTRY_PAYLOADS_MAX)
		return damaged("an entry's state");
	return NULL;
}

static struct usp_error *read_record(const struct target *target, const struct registry_entry *entry,
				     struct record **ret)
{
	_cleanup_free_ uint8_t *bytes = malloc(entry->record_size + 1);
	if (!bytes)
		return &usp_error_no_memory;
	int r = target_read(target, entry->record, bytes, entry->record_size);
	if (r < 0)
		return usp_error_errno(USP_FAILED, -r, "cannot read a payload's record at 0x%lx",
				       entry->record);
	struct usp_error *error = record_unpack(bytes, entry->record_size, ret);
	if (error)
		return error;
	if ((*ret)->image_base != entry->base || (*ret)->image_size > entry->size ||
	    (*ret)->pads_size > entry->size - (*ret)->image_size) {
		record_destroy(*ret);
		*ret = NULL;
		return damaged("a record that belongs to another place");
	}
	return NULL;
}

/* The positions of the applied ones must be 1, 2, … n, each once. */
static bool stack_is_sound(const struct registry *registry)
{
	uint32_t height = registry_height(registry), seen = 0;
	for (uint32_t position = 1; position <= height; position++) {
		for (int i = 0; i < REGISTRY_PAYLOADS_MAX; i++)
			seen += registry->records[i] && registry->entries[i].position == position;
		if (seen != position)
			return false;
	}
	return true;
}

static struct usp_error *read_contents(const struct target *target, struct registry *registry)
{
	struct registry_header *header = &registry->header;
	int r = target_read(target, registry->address, header, sizeof(*header));
	if (r < 0)
		return usp_error_errno(USP_FAILED, -r, "cannot read the usplice registry at 0x%lx",
				       registry->address);
	if (!memcmp(header->magic, "\0\0\0\0\0\0\0", 8)) {
		/* Made by a controller that was killed before it wrote the mark: as good as none. */
		registry->address = 0;
		return NULL;
	}
	if (memcmp(header->magic, registry_magic, sizeof(registry_magic)))
		return damaged("its mark");
	if (header->version != REGISTRY_VERSION)
		return usp_errorf(USP_UNSUPPORTED,
				  "the registry in the target is of version %u, this usplice knows version "
				  "%u: use the usplice that made it",
				  header->version, REGISTRY_VERSION);
	if (header->size != REGISTRY_SIZE || header->current > 1 || header->in_flight > REGISTRY_UNLOAD)
		return damaged("its header");
	r = target_read(target, table_address(registry, header->current), registry->entries, TABLE_SIZE);
	if (r < 0)
		return usp_error_errno(USP_FAILED, -r, "cannot read the usplice registry's table");
	for (int i = 0; i < REGISTRY_PAYLOADS_MAX; i++) {
		if (!registry->entries[i].record)
			continue;
		struct usp_error *error = check_entry(&registry->entries[i]);
		if (!error)
			error = read_record(target, &registry->entries[i], &registry->records[i]);
		if (error)
			return error;
	}
	return stack_is_sound(registry) ? NULL : damaged("its stack");
}

struct usp_error *registry_read(const struct target *target, const struct maps *maps, struct registry **ret)
{
	struct registry *registry = calloc(1, sizeof(*registry));
	if (!registry)
		return &usp_error_no_memory;
	for (size_t i = 0; i < maps->n && !registry->address; i++) {
		const struct mapping *mapping = &maps->v[i];
		if (!is_registry_mapping(mapping) || mapping->shared ||
		    mapping->end - mapping->start < REGISTRY_SIZE)
			continue;
		registry->address = mapping->start;
		struct usp_error *error = read_contents(target, registry);
		if (error) {
			registry_destroy(registry);
			return error;
		}
	}
	*ret = registry;
	return NULL;
}

void registry_destroy(struct registry *registry)
{
	if (!registry)
		return;
	for (int i = 0; i < REGISTRY_PAYLOADS_MAX; i++)
		record_destroy(registry->records[i]);
	free(registry);
}

struct usp_error *registry_create(const struct target *target, struct remote *remote,
				  const struct remote_area *area, struct registry *registry)
{
	uint64_t fd;
	int64_t address;
	int r = remote_write(target, area->stack, REGISTRY_NAME, sizeof(REGISTRY_NAME));
	if (r < 0)
		return usp_error_errno(USP_FAILED, -r, "cannot write to usplice's own memory in the target");
	struct usp_error *error = remote_memfd_open(remote, REGISTRY_NAME, area->stack, REGISTRY_SIZE, &fd);
	if (!error) {
		error = remote_syscall_ok(remote, "mmap", SYS_mmap,
					  (const uint64_t[6]){0, REGISTRY_SIZE, PROT_READ, MAP_PRIVATE, fd},
					  &address);
		error = remote_memfd_close(remote, fd, error);
	}
	if (error)
		return usp_error_prefix(error, "making the registry");
	registry->address = (uint64_t)address;
	registry->header = (struct registry_header){
		.version = REGISTRY_VERSION,
		.size = REGISTRY_SIZE,
		.area = *area,
	};
	memcpy(registry->header.magic, registry_magic, sizeof(registry_magic));
	r = remote_write(target, registry->address, &registry->header, sizeof(registry->header));
	if (r < 0) {
		registry->address = 0;
		return usp_error_errno(USP_FAILED, -r, "cannot write the registry");
	}
	return NULL;
}

struct usp_error *registry_stage(const struct target *target, const struct registry *registry)
{
	int r = remote_write(target, table_address(registry, !registry->header.current), registry->entries,
			     TABLE_SIZE);
	return r < 0 ? usp_error_errno(USP_FAILED, -r, "cannot write the registry's table") : NULL;
}

int registry_flip(const struct target *target, struct registry *registry)
{
	uint64_t current = !registry->header.current, generation = registry->header.generation + 1;
	int r = remote_write(target, registry->address + offsetof(struct registry_header, current), &current,
			     sizeof(current));
	if (r < 0)
		return r;
	/* For readers without the lock; a controller that dies right here only spares them a second look. */
	registry->header.current = current;
	registry->header.generation = generation;
	return remote_write(target, registry->address + offsetof(struct registry_header, generation),
			    &generation, sizeof(generation));
}

struct usp_error *registry_commit(const struct target *target, struct registry *registry)
{
	struct usp_error *error = registry_stage(target, registry);
	if (error)
		return error;
	int r = registry_flip(target, registry);
	return r < 0 ? usp_error_errno(USP_FAILED, -r, "cannot write the registry's commit word") : NULL;
}

struct usp_error *registry_set_in_flight(const struct target *target, struct registry *registry,
					 enum registry_action action)
{
	uint64_t word = action;
	int r = remote_write(target, registry->address + offsetof(struct registry_header, in_flight), &word,
			     sizeof(word));
	if (r < 0)
		return usp_error_errno(USP_FAILED, -r, "cannot write the registry");
	registry->header.in_flight = action;
	return NULL;
}

struct usp_error *registry_set_net(const struct target *target, struct registry *registry,
				   const struct net_area *net, bool armed)
{
	struct registry_header *header = &registry->header;
	header->net = *net;
	header->net_armed = armed;
	_Static_assert(offsetof(struct registry_header, net_armed) ==
			       offsetof(struct registry_header, net) + sizeof(struct net_area),
		       "written together");
	int r = remote_write(target, registry->address + offsetof(struct registry_header, net), &header->net,
			     sizeof(header->net) + sizeof(header->net_armed));
	return r < 0 ? usp_error_errno(USP_FAILED, -r, "cannot write the registry") : NULL;
}

struct usp_error *registry_set_pending(const struct target *target, struct registry *registry,
				       uint64_t address, uint64_t size)
{
	uint64_t words[2] = {address, size};
	_Static_assert(offsetof(struct registry_header, pending_size) ==
			       offsetof(struct registry_header, pending) + sizeof(uint64_t),
		       "the two words are written at once");
	int r = remote_write(target, registry->address + offsetof(struct registry_header, pending), words,
			     sizeof(words));
	if (r < 0)
		return usp_error_errno(USP_FAILED, -r, "cannot write the registry");
	registry->header.pending = address;
	registry->header.pending_size = size;
	return NULL;
}

struct usp_error *registry_set_shadow(const struct target *target, struct registry *registry,
				      uint64_t address)
{
	int r = remote_write(target, registry->address + offsetof(struct registry_header, shadow), &address,
			     sizeof(address));
	if (r < 0)
		return usp_error_errno(USP_FAILED, -r, "cannot write the registry");
	registry->header.shadow = address;
	return NULL;
}

int registry_find_name(const struct registry *registry, const char *name)
{
	for (int i = 0; i < REGISTRY_PAYLOADS_MAX; i++)
		if (registry->records[i] && !strcmp(registry->records[i]->name, name))
			return i;
	return -1;
}

int registry_find_build_id(const struct registry *registry, const uint8_t *build_id, size_t size)
{
	for (int i = 0; i < REGISTRY_PAYLOADS_MAX; i++)
		if (registry->records[i] && registry->records[i]->build_id_size == size &&
		    !memcmp(registry->records[i]->build_id, build_id, size))
			return i;
	return -1;
}

int registry_find_free(const struct registry *registry)
{
	for (int i = 0; i < REGISTRY_PAYLOADS_MAX; i++)
		if (!registry->records[i])
			return i;
	return -1;
}

int registry_at_position(const struct registry *registry, uint32_t position)
{
	for (int i = 0; i < REGISTRY_PAYLOADS_MAX; i++)
		if (registry->records[i] && registry->entries[i].position == position)
			return i;
	return -1;
}

uint32_t registry_height(const struct registry *registry)
{
	uint32_t height = 0;
	for (int i = 0; i < REGISTRY_PAYLOADS_MAX; i++)
		if (registry->records[i] && registry->entries[i].position > height)
			height = registry->entries[i].position;
	return height;
}
