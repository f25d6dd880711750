// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* Files that the command line names. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "err.h"
#include "file.h"

#define SIZE_MAX_READ (64 << 20)

/* state_init() enters another mount namespace, whose root and directory are others. */
static int root = -1, directory = -1;

void file_init(void)
{
	root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	directory = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);
}

static int open_file(const char *name)
{
	if (!strcmp(name, "-"))
		return dup(STDIN_FILENO);
	if (*name != '/' || root < 0)
		return openat(directory < 0 ? AT_FDCWD : directory, name, O_RDONLY | O_CLOEXEC);
	while (*name == '/')
		name++;
	return openat(root, *name ? name : ".", O_RDONLY | O_CLOEXEC);
}

/* Room for more behind n octets and their '\0'. */
static int grow(const char *name, char **at, size_t n, size_t *room)
{
	size_t more = *room ? *room * 2 : 65536;
	char *moved;

	if (n > SIZE_MAX_READ)
		return fail(EFBIG, "%s: more than %d MiB", name, SIZE_MAX_READ >> 20);
	if (n + 1 < *room)
		return 0;
	moved = realloc(*at, more);
	if (!moved)
		return fail(ENOMEM, "%s: out of memory", name);
	*at = moved;
	*room = more;
	return 0;
}

int file_read(const char *name, char **text, size_t *size)
{
	size_t room = 0, n = 0;
	ssize_t got = 1;
	char *at = NULL;
	int err = 0, fd;

	fd = open_file(name);
	if (fd < 0)
		return fail(errno, "%s: %s", name, strerror(errno));
	while (!err && got > 0) {
		err = grow(name, &at, n, &room);
		if (err)
			break;
		got = read(fd, at + n, room - n - 1);
		if (got < 0)
			err = fail(errno, "%s: cannot be read: %s", name, strerror(errno));
		else
			n += got;
	}
	close(fd);
	if (err) {
		free(at);
		return err;
	}
	at[n] = '\0';
	*text = at;
	*size = n;
	return 0;
}
