/* SPDX-License-Identifier: MIT */
/*
 * A web server with libevent's evhttp: evhttpd PORT THREADS, on loopback. Each thread has a loop and a listening socket
 * of its own. It answers "content", and before that, for another path than /x.txt, the header fields that it was sent.
 */
#include <arpa/inet.h>
#include <err.h>
#include <event2/buffer.h>
#include <event2/event.h>
#include <event2/http.h>
#include <event2/keyvalq_struct.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

static struct sockaddr_in address = {.sin_family = AF_INET};

static void answer(struct evhttp_request *request, void *unused)
{
	struct evbuffer *body = evbuffer_new();
	(void)unused;
	if (!body)
		errx(1, "out of memory");
	if (strcmp(evhttp_request_get_uri(request), "/x.txt"))
		for (struct evkeyval *field = evhttp_request_get_input_headers(request)->tqh_first; field;
		     field = field->next.tqe_next)
			evbuffer_add_printf(body, "%s=%s ", field->key, field->value);
	evbuffer_add_printf(body, "content");
	evhttp_send_reply(request, HTTP_OK, "OK", body);
	evbuffer_free(body);
}

static void *serve(void *unused)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), on = 1;
	struct event_base *base = event_base_new();
	struct evhttp *http = base ? evhttp_new(base) : NULL;
	if (fd < 0 || !http || setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on)) ||
	    bind(fd, (struct sockaddr *)&address, sizeof(address)) || listen(fd, 128) ||
	    evhttp_accept_socket(http, fd))
		err(1, "cannot listen");
	evhttp_set_gencb(http, answer, NULL);
	event_base_dispatch(base);
	return unused;
}

int main(int argc, char **argv)
{
	int threads = argc > 2 ? atoi(argv[2]) : 1;
	pthread_t thread;
	if (argc < 2)
		errx(2, "usage: evhttpd PORT [THREADS]");
	address.sin_port = htons((unsigned short)atoi(argv[1]));
	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	for (int i = 1; i < threads; i++)
		if (pthread_create(&thread, NULL, serve, NULL))
			errx(1, "cannot start a thread");
	serve(NULL);
	return 0;
}
