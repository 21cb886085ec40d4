// SPDX-License-Identifier: MIT
#include "process/address_map.h"

static size_t place(const struct address_map *map, uint64_t address)
{
	size_t i = (address * 0x9e3779b97f4a7c15u) >> 32;
	for (i &= map->capacity - 1; map->v[i].address; i = (i + 1) & (map->capacity - 1))
		if (map->v[i].address == address + 1)
			break;
	return i;
}

static bool grow(struct address_map *map)
{
	struct address_map larger = {.n = map->n, .capacity = map->capacity ? 2 * map->capacity : 64};
	larger.v = calloc(larger.capacity, sizeof(*larger.v));
	if (!larger.v)
		return false;
	for (size_t i = 0; i < map->capacity; i++)
		if (map->v[i].address)
			larger.v[place(&larger, map->v[i].address - 1)] = map->v[i];
	free(map->v);
	*map = larger;
	return true;
}

uint64_t *address_map_at(struct address_map *map, uint64_t address)
{
	if (4 * (map->n + 1) > 3 * map->capacity && !grow(map))
		return NULL;
	struct address_entry *entry = &map->v[place(map, address)];
	if (!entry->address) {
		*entry = (struct address_entry){address + 1, 0};
		map->n++;
	}
	return &entry->value;
}

const uint64_t *address_map_find(const struct address_map *map, uint64_t address)
{
	if (!map->capacity)
		return NULL;
	const struct address_entry *entry = &map->v[place(map, address)];
	return entry->address ? &entry->value : NULL;
}

void address_map_deinit(struct address_map *map)
{
	free(map->v);
	*map = (struct address_map){0};
}
