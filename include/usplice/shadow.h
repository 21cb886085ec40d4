/* SPDX-License-Identifier: MIT */
/*
 * Shadow data: values attached to objects that the program has already, by an id of the payload author's, without changing
 * the objects' layout. Part of <usplice/payload.h>; compiled into each payload that uses it.
 *
 *     #ifdef USPLICE
 *     struct extra *extra = usp_shadow_get_or_alloc(connection, 202640701, sizeof(*extra), NULL, NULL);
 *     #endif
 *
 * The values are the process': they outlive the payload that made them, so that the next one (a replacing one, a newer
 * version) finds them, and a forked child has its own copy. Who is the last frees them: each as its object goes
 * (usp_shadow_free), the rest in a post-revert hook (usp_shadow_free_all). An object of NULL is as good as any other: a value
 * of the process itself. Pick ids that nobody else picks; a CVE's number, say.
 *
 * usp_shadow_get() takes no lock: it may be called anywhere, in signal handlers and quiescent hooks, too. The others take
 * one with all signals blocked, and use the program's calloc() and free(): not in quiescent hooks, nor where the program
 * may not allocate. A constructor runs under the lock and must not call them. That nobody uses a value that another thread
 * is just freeing is the payload's own care.
 *
 * Plain C89 and C++, no macro and no name of the program's is used: it is compiled inside of the program's own sources.
 */
#ifndef USPLICE_SHADOW_H
#define USPLICE_SHADOW_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define USPLICE_SHADOW_FN_ static __inline__ __attribute__((unused))

/* Data is zeroed. Not 0: nothing is attached. */
typedef int usp_shadow_constructor(const void *object, void *data, void *context);
typedef void usp_shadow_destructor(const void *object, void *data);

struct usplice_shadow_node {
	const void *object;
	uint64_t id;
	void *data;
	struct usplice_shadow_node *next[2]; /* by the table's side */
};

/* Followed by mask + 1 chains. A new table uses its nodes' other links: whoever reads the old one is not disturbed. */
struct usplice_shadow_table {
	uint64_t mask, side;
	struct usplice_shadow_table *older; /* left to its readers, and never given back */
};

/*
 * What payloads share; usplice maps it, zeroed, when the first payload comes that refers to it, and it stays. Each store
 * leaves a sound table behind, so that a child forked in the midst of anything has one, too.
 */
struct usplice_shadow {
	uint32_t lock; /* 0 free, 1 taken, 2 somebody waits. This page is zeroed in a forked child */
	uint8_t page[4092];
	struct usplice_shadow_table *table;
	struct usplice_shadow_node
		*spare;	  /* nodes are used again, and never given back: readers may stand in them */
	uint64_t changes; /* before a node or link is used again: who reads meanwhile starts anew */
	uint64_t n;
};

/* In the process usplice's word for it; its number is the layout's version. In a program that is linked: not there. */
extern struct usplice_shadow usplice_shadow_1 __attribute__((weak, visibility("default")));

/* By other names: the program may have macros of these. */
extern void *usplice_shadow_calloc_(size_t n, size_t size) __asm__("calloc");
extern void usplice_shadow_free_(void *data) __asm__("free");

#ifdef __cplusplus
}
#endif

USPLICE_SHADOW_FN_ struct usplice_shadow *usplice_shadow_area_(void)
{
	/* Read from a constant of 64 bits, which reaches it from anywhere; the compiler may not do without. */
	static struct usplice_shadow *const area = &usplice_shadow_1;
	struct usplice_shadow *const *at = &area;
	__asm__("" : "+r"(at));
	return *at;
}

USPLICE_SHADOW_FN_ struct usplice_shadow_node **usplice_shadow_chain_(struct usplice_shadow_table *table,
								      const void *object, uint64_t id)
{
	uint64_t hash = ((uint64_t)object ^ id * 0x9e3779b97f4a7c15UL) * 0xff51afd7ed558ccdUL;
	return (struct usplice_shadow_node **)(table + 1) + ((hash ^ hash >> 32) & table->mask);
}

/* The value attached to object under id, or NULL. */
USPLICE_SHADOW_FN_ void *usp_shadow_get(const void *object, uint64_t id)
{
	struct usplice_shadow *area = usplice_shadow_area_();
	for (;;) {
		uint64_t changes = __atomic_load_n(&area->changes, __ATOMIC_ACQUIRE);
		struct usplice_shadow_table *table = __atomic_load_n(&area->table, __ATOMIC_ACQUIRE);
		struct usplice_shadow_node *node = NULL;
		void *data = NULL;
		if (table)
			node = __atomic_load_n(usplice_shadow_chain_(table, object, id), __ATOMIC_ACQUIRE);
		while (node && (__atomic_load_n(&node->object, __ATOMIC_RELAXED) != object ||
				__atomic_load_n(&node->id, __ATOMIC_RELAXED) != id))
			node = __atomic_load_n(&node->next[table->side], __ATOMIC_ACQUIRE);
		if (node)
			data = __atomic_load_n(&node->data, __ATOMIC_RELAXED);
		__atomic_thread_fence(__ATOMIC_ACQUIRE);
		if (__atomic_load_n(&area->changes, __ATOMIC_RELAXED) == changes)
			return data;
	}
}

USPLICE_SHADOW_FN_ long usplice_shadow_syscall_(long number, long a, long b, long c, long d)
{
	long ret;
	__asm__ volatile("mov %5, %%r10\n\tsyscall"
			 : "=a"(ret)
			 : "a"(number), "D"(a), "S"(b), "d"(c), "r"(d)
			 : "rcx", "r10", "r11", "memory");
	return ret;
}

/* Returns the signal mask before. */
USPLICE_SHADOW_FN_ uint64_t usplice_shadow_lock_(struct usplice_shadow *area)
{
	uint64_t all = ~(uint64_t)0, before = 0;
	uint32_t free_word = 0;
	usplice_shadow_syscall_(14 /* rt_sigprocmask */, 0 /* SIG_BLOCK */, (long)&all, (long)&before, 8);
	if (!__atomic_compare_exchange_n(&area->lock, &free_word, 1, 0, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
		while (__atomic_exchange_n(&area->lock, 2, __ATOMIC_ACQUIRE))
			usplice_shadow_syscall_(202 /* futex */, (long)&area->lock,
						128 /* FUTEX_WAIT_PRIVATE */, 2, 0);
	return before;
}

USPLICE_SHADOW_FN_ void usplice_shadow_unlock_(struct usplice_shadow *area, uint64_t mask)
{
	if (__atomic_exchange_n(&area->lock, 0, __ATOMIC_RELEASE) == 2)
		usplice_shadow_syscall_(202, (long)&area->lock, 129 /* FUTEX_WAKE_PRIVATE */, 1, 0);
	usplice_shadow_syscall_(14, 2 /* SIG_SETMASK */, (long)&mask, 0, 8);
}

/* Four times the chains. The old table stays: somebody may be reading it. 0: no memory, all is as it was. */
USPLICE_SHADOW_FN_ int usplice_shadow_grow_(struct usplice_shadow *area)
{
	struct usplice_shadow_table *old = area->table, *table;
	uint64_t i, n = old ? 4 * (old->mask + 1) : 64;
	struct usplice_shadow_node *node, **chain;
	table = (struct usplice_shadow_table *)usplice_shadow_calloc_(1, sizeof(*table) + n * sizeof(node));
	if (!table)
		return 0;
	table->mask = n - 1;
	table->side = old ? !old->side : 0;
	table->older = old;
	__atomic_add_fetch(&area->changes, 1,
			   __ATOMIC_SEQ_CST); /* the links were those of the table before the old one */
	for (i = 0; old && i <= old->mask; i++)
		for (node = ((struct usplice_shadow_node **)(old + 1))[i]; node;
		     node = node->next[old->side]) {
			chain = usplice_shadow_chain_(table, node->object, node->id);
			__atomic_store_n(&node->next[table->side], *chain, __ATOMIC_RELAXED);
			*chain = node;
		}
	__atomic_store_n(&area->table, table, __ATOMIC_RELEASE);
	return 1;
}

/* Where the node's link is; *link is NULL when there is none. There is a table. Under the lock. */
USPLICE_SHADOW_FN_ struct usplice_shadow_node **usplice_shadow_find_(struct usplice_shadow_table *table,
								     const void *object, uint64_t id)
{
	struct usplice_shadow_node **link = usplice_shadow_chain_(table, object, id);
	while (*link && ((*link)->object != object || (*link)->id != id))
		link = &(*link)->next[table->side];
	return link;
}

USPLICE_SHADOW_FN_ struct usplice_shadow_node *usplice_shadow_node_(struct usplice_shadow *area)
{
	struct usplice_shadow_node *node = area->spare;
	if (!node)
		return (struct usplice_shadow_node *)usplice_shadow_calloc_(1, sizeof(*node));
	area->spare = node->next[0];
	return node;
}

USPLICE_SHADOW_FN_ void usplice_shadow_keep_(struct usplice_shadow *area, struct usplice_shadow_node *node)
{
	__atomic_store_n(&node->next[0], area->spare, __ATOMIC_RELAXED);
	area->spare = node;
}

/* Takes *link's node out of its chain; nobody finds it any more. */
USPLICE_SHADOW_FN_ struct usplice_shadow_node *usplice_shadow_unlink_(struct usplice_shadow *area,
								      struct usplice_shadow_node **link)
{
	struct usplice_shadow_node *node = *link;
	__atomic_store_n(link, node->next[area->table->side], __ATOMIC_RELEASE);
	__atomic_add_fetch(&area->changes, 1, __ATOMIC_SEQ_CST);
	area->n--;
	return node;
}

USPLICE_SHADOW_FN_ void *usplice_shadow_add_(struct usplice_shadow *area, const void *object, uint64_t id,
					     size_t size, usp_shadow_constructor *constructor, void *context)
{
	struct usplice_shadow_node *node, **chain;
	void *data;
	if ((!area->table || area->n > 2 * area->table->mask) && !usplice_shadow_grow_(area) && !area->table)
		return NULL;
	node = usplice_shadow_node_(area);
	if (!node)
		return NULL;
	data = usplice_shadow_calloc_(1, size ? size : 1);
	if (!data || (constructor && constructor(object, data, context))) {
		usplice_shadow_free_(data);
		usplice_shadow_keep_(area, node);
		return NULL;
	}
	chain = usplice_shadow_chain_(area->table, object, id);
	__atomic_store_n(&node->object, object, __ATOMIC_RELAXED);
	__atomic_store_n(&node->id, id, __ATOMIC_RELAXED);
	__atomic_store_n(&node->data, data, __ATOMIC_RELAXED);
	__atomic_store_n(&node->next[area->table->side], *chain, __ATOMIC_RELAXED);
	__atomic_store_n(chain, node, __ATOMIC_RELEASE);
	area->n++;
	return data;
}

/* Attaches size bytes. NULL: there is a value under this id, or no memory, or the constructor said no. */
USPLICE_SHADOW_FN_ void *usp_shadow_alloc(const void *object, uint64_t id, size_t size,
					  usp_shadow_constructor *constructor, void *context)
{
	struct usplice_shadow *area = usplice_shadow_area_();
	uint64_t mask = usplice_shadow_lock_(area);
	void *data = NULL;
	if (!area->table || !*usplice_shadow_find_(area->table, object, id))
		data = usplice_shadow_add_(area, object, id, size, constructor, context);
	usplice_shadow_unlock_(area, mask);
	return data;
}

/* The value that is there, or a new one: of several threads that ask, one constructs. NULL: as usp_shadow_alloc(). */
USPLICE_SHADOW_FN_ void *usp_shadow_get_or_alloc(const void *object, uint64_t id, size_t size,
						 usp_shadow_constructor *constructor, void *context)
{
	struct usplice_shadow *area = usplice_shadow_area_();
	void *data = usp_shadow_get(object, id);
	uint64_t mask;
	if (data)
		return data;
	mask = usplice_shadow_lock_(area);
	data = usp_shadow_get(object, id);
	if (!data)
		data = usplice_shadow_add_(area, object, id, size, constructor, context);
	usplice_shadow_unlock_(area, mask);
	return data;
}

/* Takes the value off and frees it, after the destructor (or NULL) has seen it. Nothing there: nothing happens. */
USPLICE_SHADOW_FN_ void usp_shadow_free(const void *object, uint64_t id, usp_shadow_destructor *destructor)
{
	struct usplice_shadow *area = usplice_shadow_area_();
	struct usplice_shadow_node **link;
	void *data = NULL;
	uint64_t mask;
	if (!usp_shadow_get(object, id))
		return;
	mask = usplice_shadow_lock_(area);
	link = usplice_shadow_find_(area->table, object, id);
	if (*link) {
		struct usplice_shadow_node *node = usplice_shadow_unlink_(area, link);
		data = node->data;
		usplice_shadow_keep_(area, node);
	}
	usplice_shadow_unlock_(area, mask);
	if (data && destructor)
		destructor(object, data);
	usplice_shadow_free_(data);
}

/* The same for all objects that have a value under id. */
USPLICE_SHADOW_FN_ void usp_shadow_free_all(uint64_t id, usp_shadow_destructor *destructor)
{
	struct usplice_shadow *area = usplice_shadow_area_();
	struct usplice_shadow_node *node, *gone = NULL, **link;
	uint64_t i, side = 0, mask = usplice_shadow_lock_(area);
	struct usplice_shadow_table *table = area->table;
	for (i = 0; table && i <= table->mask; i++) {
		side = table->side;
		link = (struct usplice_shadow_node **)(table + 1) + i;
		while (*link) {
			if ((*link)->id != id) {
				link = &(*link)->next[side];
				continue;
			}
			node = usplice_shadow_unlink_(area, link);
			__atomic_store_n(&node->next[side], gone, __ATOMIC_RELAXED);
			gone = node;
		}
	}
	usplice_shadow_unlock_(area, mask);
	while (gone) {
		node = gone;
		gone = node->next[side];
		if (destructor)
			destructor(node->object, node->data);
		usplice_shadow_free_(node->data);
		mask = usplice_shadow_lock_(area);
		usplice_shadow_keep_(area, node);
		usplice_shadow_unlock_(area, mask);
	}
}

#endif
