/* SPDX-License-Identifier: MIT */
/*
 * Measures every single request to a redis-server: latency_probe PORT [CONNECTIONS]. Lines on stdin name the
 * section that requests belong to from then on; at the end of stdin a line a section comes out: NAME served=N
 * failed=N p50_us=… p99_us=… p999_us=… longest_us=… Closed loop: a connection sends its next request when the
 * answer is there, so that a server which stands still shows as one long request on each connection.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define SECTIONS    64
#define CONNECTIONS 64

struct section {
	uint32_t *ns; /* latency of each request */
	size_t n, capacity;
	uint64_t failed;
};

/* One a connection, so that nobody waits for anybody while measuring. */
struct connection {
	pthread_t thread;
	struct section sections[SECTIONS];
};

static atomic_int current, stopping;
static int port;

static uint64_t now_ns(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static int dial(void)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
	int on = 1;
	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -1;
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	if (connect(fd, (struct sockaddr *)&address, sizeof(address))) {
		close(fd);
		return -1;
	}
	return fd;
}

/* One ECHO and its whole answer, a bulk string: "$N\r\n…\r\n". */
static bool request(int fd)
{
	static const char command[] = "*2\r\n$4\r\nECHO\r\n$5\r\nhello\r\n";
	char answer[512];
	size_t n = 0;
	if (send(fd, command, sizeof(command) - 1, MSG_NOSIGNAL) != (ssize_t)sizeof(command) - 1)
		return false;
	for (;;) {
		ssize_t r = recv(fd, answer + n, sizeof(answer) - 1 - n, 0);
		if (r <= 0)
			return false;
		n += (size_t)r;
		answer[n] = '\0';
		char *end = strstr(answer, "\r\n");
		if (!end) {
			if (n > 32)
				return false;
			continue;
		}
		if (answer[0] != '$')
			return false;
		long length = strtol(answer + 1, NULL, 10);
		if (length < 0 || length > 400)
			return false;
		if (n >= (size_t)(end - answer) + 2 + (size_t)length + 2)
			return true;
	}
}

static bool remember(struct section *section, uint64_t ns)
{
	if (section->n == section->capacity) {
		size_t capacity = section->capacity ? section->capacity * 2 : 4096;
		uint32_t *v = realloc(section->ns, capacity * sizeof(*v));
		if (!v)
			return false;
		section->ns = v;
		section->capacity = capacity;
	}
	section->ns[section->n++] = ns > UINT32_MAX ? UINT32_MAX : (uint32_t)ns;
	return true;
}

static void *run(void *argument)
{
	struct connection *connection = argument;
	int fd = dial();
	while (!atomic_load_explicit(&stopping, memory_order_relaxed)) {
		/* A request belongs to the section in which it began. */
		struct section *section = &connection->sections[atomic_load(&current)];
		uint64_t start = now_ns();
		if (fd >= 0 && request(fd)) {
			if (!remember(section, now_ns() - start))
				return (void *)1;
			continue;
		}
		section->failed++;
		if (fd >= 0)
			close(fd);
		usleep(1000);
		fd = dial();
	}
	if (fd >= 0)
		close(fd);
	return NULL;
}

static int by_value(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
	return x < y ? -1 : x > y;
}

static double percentile_us(const struct section *all, double p)
{
	size_t i = (size_t)(p * (double)all->n);
	return all->n ? all->ns[i < all->n ? i : all->n - 1] / 1000.0 : 0;
}

static bool print_section(const char *name, int index, const struct connection *connections, int n)
{
	struct section all = {0};
	for (int i = 0; i < n; i++) {
		const struct section *one = &connections[i].sections[index];
		for (size_t j = 0; j < one->n; j++)
			if (!remember(&all, one->ns[j]))
				return false;
		all.failed += one->failed;
	}
	qsort(all.ns, all.n, sizeof(*all.ns), by_value);
	printf("%s served=%zu failed=%llu p50_us=%.0f p99_us=%.0f p999_us=%.0f longest_us=%.0f\n", name,
	       all.n, (unsigned long long)all.failed, percentile_us(&all, 0.5), percentile_us(&all, 0.99),
	       percentile_us(&all, 0.999), percentile_us(&all, 1));
	free(all.ns);
	return true;
}

int main(int argc, char **argv)
{
	static struct connection connections[CONNECTIONS];
	static char names[SECTIONS][64] = {"start"};
	char line[256];
	int n = argc > 2 ? atoi(argv[2]) : 2, sections = 1;
	port = argc > 1 ? atoi(argv[1]) : 0;
	if (port < 1 || port > 65535 || n < 1 || n > CONNECTIONS) {
		fprintf(stderr, "usage: latency_probe PORT [CONNECTIONS, at most %d] < names of sections\n",
			CONNECTIONS);
		return 2;
	}
	for (int i = 0; i < n; i++) {
		int e = pthread_create(&connections[i].thread, NULL, run, &connections[i]);
		if (e) {
			fprintf(stderr, "latency_probe: cannot start a thread: %s\n", strerror(e));
			return 1;
		}
	}
	while (fgets(line, sizeof(line), stdin)) {
		line[strcspn(line, "\n")] = '\0';
		if (sections == SECTIONS) {
			fprintf(stderr, "latency_probe: more than %d sections\n", SECTIONS);
			return 1;
		}
		snprintf(names[sections], sizeof(names[0]), "%.63s", line);
		atomic_store(&current, sections++);
	}
	atomic_store(&stopping, 1);
	for (int i = 0; i < n; i++) {
		void *failed;
		pthread_join(connections[i].thread, &failed);
		if (failed) {
			fprintf(stderr, "latency_probe: out of memory\n");
			return 1;
		}
	}
	for (int i = 0; i < sections; i++)
		if (!print_section(names[i], i, connections, n))
			return 1;
	return 0;
}
