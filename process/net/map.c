/* SPDX-License-Identifier: MIT */
/*
 * The net's mappings. One memfd, named, mapped three times side by side; a larger table is another one's. A
 * controller may be killed at each step: a place without all three parts is in nobody's use and is unmapped,
 * one with all three is used again, and so is a table that no header points to.
 */
#include <errno.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "process/net/internal.h"
#include "process/remote/memfd.h"

#define PAGE	       4096u
#define NET_NAME       "usplice-net"
#define NET_MAPPING    REMOTE_MEMFD_MAPPING(NET_NAME)
#define SITES_AT_LEAST 256u

struct mapper {
	const struct target *target;
	struct remote *remote;
	uint64_t scratch;
};

static bool is_part(const struct mapping *m, int prot, uint64_t offset)
{
	return !m->shared && m->prot == prot && m->offset == offset && !strcmp(m->name, NET_MAPPING);
}

/* Whether the three parts start at maps->v[i]. */
static bool is_whole(const struct maps *maps, size_t i, struct net_area *ret)
{
	const struct mapping *m = &maps->v[i];
	if (i + 2 >= maps->n || !is_part(m, PROT_READ | PROT_EXEC, 0) || m->end - m->start != NET_CODE_SIZE ||
	    !is_part(m + 1, PROT_READ | PROT_WRITE, NET_STATE_OFFSET) || m[1].start != m->end ||
	    m[1].end - m[1].start != NET_STATE_SIZE || !is_part(m + 2, PROT_READ, NET_DATA_OFFSET) ||
	    m[2].start != m[1].end || m[2].end - m[2].start < NET_TABLE_OFFSET + PAGE)
		return false;
	*ret = (struct net_area){m->start, m[2].start, m[2].end - m[2].start};
	return true;
}

static struct usp_error *open_file(const struct mapper *m, uint64_t size, uint64_t *fd)
{
	struct usp_error *error = net_put(m->target, m->scratch, NET_NAME, sizeof(NET_NAME));
	return error ? error : remote_memfd_open(m->remote, NET_NAME, m->scratch, size, fd);
}

static struct usp_error *map(const struct mapper *m, uint64_t at, uint64_t size, int prot, uint64_t fd,
			     uint64_t offset, uint64_t *ret)
{
	const uint64_t flags = MAP_PRIVATE | (at ? MAP_FIXED : 0);
	int64_t result;
	struct usp_error *error =
		remote_syscall_ok(m->remote, "mmap", SYS_mmap,
				  (const uint64_t[6]){at, size, (uint64_t)prot, flags, fd, offset}, &result);
	if (!error)
		*ret = (uint64_t)result;
	return error;
}

static uint64_t table_size(size_t n_sites)
{
	uint64_t n = SITES_AT_LEAST;
	while (n < n_sites)
		n *= 2;
	return (n * sizeof(struct net_site) + PAGE - 1) / PAGE * PAGE;
}

/* All executable first: a program may be forbidden to make executable later what was not. */
static struct usp_error *map_all(const struct mapper *m, size_t n_sites, struct net_area *area)
{
	uint64_t fd, ignored, code = 0;
	int64_t result;
	const uint64_t data_size = NET_TABLE_OFFSET + table_size(n_sites), size = NET_DATA_OFFSET + data_size;
	struct usp_error *error = open_file(m, size, &fd);
	if (error)
		return error;
	error = map(m, 0, size, PROT_READ | PROT_EXEC, fd, 0, &code);
	if (!error)
		error = map(m, code + NET_STATE_OFFSET, NET_STATE_SIZE, PROT_READ | PROT_WRITE, fd,
			    NET_STATE_OFFSET, &ignored);
	if (!error)
		error = map(m, code + NET_DATA_OFFSET, data_size, PROT_READ, fd, NET_DATA_OFFSET, &ignored);
	if (error && code)
		usp_error_destroy(
			remote_syscall(m->remote, SYS_munmap, (const uint64_t[6]){code, size}, &result));
	error = remote_memfd_close(m->remote, fd, error);
	if (!error)
		*area = (struct net_area){code, code + NET_DATA_OFFSET, data_size};
	return error;
}

/* Whether it holds this very code, or nothing yet. */
static struct usp_error *look_at_code(const struct target *target, const struct net_area *area, bool *same,
				      bool *empty)
{
	static const uint8_t zero[NET_CODE_SIZE];
	uint8_t bytes[NET_CODE_SIZE];
	struct usp_error *error = net_get(target, area->code, bytes, sizeof(bytes));
	*same = !error && !memcmp(bytes, net_code, sizeof(bytes));
	*empty = !error && !memcmp(bytes, zero, sizeof(bytes));
	return error;
}

/* What a killed controller mapped; the rest of such a thing is unmapped. */
static struct usp_error *adopt(const struct mapper *m, const struct maps *maps, struct net_area *area)
{
	struct net_area found;
	bool same, empty;
	int64_t result;
	for (size_t i = 0; i < maps->n; i++) {
		const struct mapping *v = &maps->v[i];
		struct usp_error *error = NULL;
		if (is_whole(maps, i, &found)) {
			error = look_at_code(m->target, &found, &same, &empty);
			if (!error && (same || empty) && !area->code)
				*area = found;
			i += 2;
		} else if (!strcmp(v->name, NET_MAPPING) && !v->shared && v->prot != PROT_READ) {
			error = remote_syscall_ok(m->remote, "munmap", SYS_munmap,
						  (const uint64_t[6]){v->start, v->end - v->start}, &result);
		}
		if (error)
			return error;
	}
	return NULL;
}

/* Code and header; the mark last, in the one page that a write does whole. */
static struct usp_error *fill(const struct target *target, const struct net_area *area)
{
	bool same, empty;
	uint64_t magic;
	struct usp_error *error = look_at_code(target, area, &same, &empty);
	if (!error && empty)
		error = net_put(target, area->code, net_code, NET_CODE_SIZE);
	if (!error)
		error = net_get(target, area->data, &magic, sizeof(magic));
	if (error || magic)
		return error;
	const struct net_data data = {
		.magic = NET_MAGIC,
		.sites = area->data + NET_TABLE_OFFSET,
		.sites_capacity = (area->data_size - NET_TABLE_OFFSET) / sizeof(struct net_site),
		.entry = NET_PROGRAMS_MAX,
	};
	return net_put(target, area->data, &data, sizeof(data));
}

/* A table that is mapped, large enough and nobody's; 0: none. */
static uint64_t find_table(const struct maps *maps, const struct net_data *data, uint64_t size,
			   uint64_t *ret_size)
{
	for (size_t i = 0; i < maps->n; i++) {
		const struct mapping *m = &maps->v[i];
		*ret_size = m->end - m->start;
		if (is_part(m, PROT_READ, 0) && *ret_size >= size && m->start != data->sites)
			return m->start;
	}
	return 0;
}

static struct usp_error *grow(const struct mapper *m, const struct maps *maps, const struct net_area *area,
			      const struct net_data *data, size_t n_sites)
{
	uint64_t fd, size = table_size(n_sites), mapped_size, table;
	struct usp_error *error = NULL;
	table = find_table(maps, data, size, &mapped_size);
	if (!table) {
		mapped_size = size;
		error = open_file(m, size, &fd);
		if (error)
			return error;
		error = map(m, 0, size, PROT_READ, fd, 0, &table);
		error = remote_memfd_close(m->remote, fd, error);
	}
	/* The new table holds nothing yet. Nothing is looked up from the first write on. */
	const uint64_t words[2] = {table, mapped_size / sizeof(struct net_site)};
	if (!error)
		error = net_put_word(m->target, area, offsetof(struct net_data, n_late), 0);
	if (!error)
		error = net_put(m->target, area->data + offsetof(struct net_data, sites), words,
				sizeof(words));
	return error;
}

/* Whether what the caller, or the registry, says is what is mapped. */
static struct usp_error *check(const struct target *target, const struct maps *maps,
			       const struct net_area *area)
{
	struct net_area found;
	for (size_t i = 0; i < maps->n; i++)
		if (is_whole(maps, i, &found) && found.code == area->code && found.data == area->data &&
		    found.data_size == area->data_size)
			return NULL;
	return usp_errorf(
		USP_MISMATCH,
		"%s (%d) says that usplice's safety net is at 0x%lx, but that is not what is mapped "
		"there",
		target->name, target->pid, (long)area->code);
}

/*
 * Another usplice's code goes on standing for the program's actions as before; this one's goes beside it,
 * with what is installed now (an entry of the other's, perhaps) as the program's.
 */
static struct usp_error *leave_foreign(const struct target *target, struct net_area *area)
{
	bool same, empty;
	struct net_data data;
	struct usp_error *error = look_at_code(target, area, &same, &empty);
	if (error || same || empty)
		return error;
	error = net_read_data(target, area, &data);
	if (!error && data.n_sites)
		error = usp_error_prefix(net_busy(target), "another version of usplice");
	if (!error)
		*area = (struct net_area){0};
	return error;
}

/* The header is the target's: a table anywhere else would be written over what is not the net's. */
static struct usp_error *check_table(const struct target *target, const struct maps *maps,
				     const struct net_area *area, const struct net_data *data)
{
	uint64_t size = data->sites_capacity * sizeof(struct net_site), room = 0;
	for (size_t i = 0; i < maps->n; i++)
		if (is_part(&maps->v[i], PROT_READ, 0) && maps->v[i].start == data->sites)
			room = maps->v[i].end - maps->v[i].start;
	if (data->sites == area->data + NET_TABLE_OFFSET)
		room = area->data_size - NET_TABLE_OFFSET;
	return size <= room ? NULL : net_damaged(target, "where its table is");
}

static struct usp_error *map_with(const struct mapper *m, const struct maps *maps, struct net_area *area,
				  size_t n_sites)
{
	struct net_data data;
	struct usp_error *error = NULL;
	struct net_area new = *area;
	if (new.code) {
		error = check(m->target, maps, &new);
		if (!error)
			error = leave_foreign(m->target, &new);
	}
	if (!error && !new.code) {
		error = remote_memfd_sweep(m->remote, NET_NAME);
		if (!error)
			error = adopt(m, maps, &new);
		if (!error && !new.code)
			error = map_all(m, n_sites, &new);
	}
	if (!error)
		error = fill(m->target, &new);
	if (!error)
		error = net_read_data(m->target, &new, &data);
	if (!error)
		error = check_table(m->target, maps, &new, &data);
	if (!error && data.sites_capacity < n_sites)
		error = data.n_sites ? net_busy(m->target) : grow(m, maps, &new, &data, n_sites);
	if (!error)
		*area = new;
	return error;
}

struct usp_error *net_map(const struct target *target, struct remote *remote, uint64_t scratch,
			  struct net_area *area, size_t n_sites)
{
	const struct mapper m = {target, remote, scratch};
	struct maps maps;
	if (n_sites > NET_SITES_MAX)
		return usp_errorf(USP_UNSUPPORTED, "%zu sites; %u is the most for one action", n_sites,
				  NET_SITES_MAX);
	struct usp_error *error = maps_read(target, &maps);
	if (error)
		return error;
	error = map_with(&m, &maps, area, n_sites);
	maps_deinit(&maps);
	return usp_error_prefix(error, "mapping the safety net");
}
