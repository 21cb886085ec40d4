/* SPDX-License-Identifier: MIT */
/* Redis' ECHO command answers with a fixed text instead of its argument. */
#include <usplice/payload.h>

USPLICE_NAME("echo1");
USPLICE_VERSION("1");
USPLICE_DESCRIPTION("demo: ECHO is patched");

struct client;
void addReplyBulkCString(struct client *c, const char *s); /* redis-server's own */

static void echo_fixed(struct client *c)
{
	addReplyBulkCString(c, "patched by usplice");
}
USPLICE_REPLACE(echoCommand, echo_fixed);
