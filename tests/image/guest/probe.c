/*
 * The whole of a guest that shows what was measured: it attests and switches itself off.
 *
 * Freestanding, so that a compiler is all it takes and the ramdisk is a few kilobytes, which an
 * emulated machine unpacks at once. It does what the platform asks of every image (mounts, the
 * heartbeat to the parent on port 9000), has the security module sign the words that lie in the
 * ramdisks (/says-0, /says-1, ...), and hands the answer to the parent on port 5005. Whoever reads
 * the document sees in `user_data` which ramdisks the kernel unpacked. With a file /echo it then
 * sends back what the parent sends on port 5006, for timing.
 */

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long u64;

enum { READ = 0, WRITE = 1, OPEN = 2, CLOSE = 3, IOCTL = 16, SOCKET = 41, CONNECT = 42,
       SHUTDOWN = 48, MKDIR = 83, MOUNT = 165, REBOOT = 169, PAUSE = 34 };
enum { AF_VSOCK = 40, SOCK_STREAM = 1, SHUT_WR = 1, O_RDWR = 2, PARENT = 3, HEARTBEAT = 9000,
       ANSWER = 5005, ECHO = 5006 };
enum { NSM_REQUEST = 0xC0200A00, REBOOT_1 = 0xFEE1DEAD, REBOOT_2 = 672274793,
       RESTART = 0x01234567 };

struct address { u16 family, reserved; u32 port, cid; u8 zero[4]; };
struct vector { u64 base, length; };
struct message { struct vector request, response; };

static long call(long number, u64 a, u64 b, u64 c, u64 d, u64 e)
{
    register u64 r10 __asm__("r10") = d, r8 __asm__("r8") = e;
    long result;
    __asm__ volatile("syscall" : "=a"(result)
                     : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8)
                     : "rcx", "r11", "memory");
    return result;
}

/* The compiler may make calls of it out of loops and initialisers. */
void *memcpy(void *to, const void *from, u64 count)
{
    for (u64 i = 0; i < count; i++) ((volatile u8 *)to)[i] = ((const u8 *)from)[i];
    return to;
}

static u64 length(const char *text)
{
    u64 n = 0;
    while (text[n]) n++;
    return n;
}

static void say(const char *text)
{
    call(WRITE, 1, (u64)text, length(text), 0, 0);
}

static void restart(void)
{
    call(REBOOT, REBOOT_1, REBOOT_2, RESTART, 0, 0);
    for (;;) call(PAUSE, 0, 0, 0, 0, 0);
}

static void stop(const char *why)
{
    say("probe: failed: ");
    say(why);
    say("\n");
    restart();
}

static long parent(u32 port)
{
    struct address address = { .family = AF_VSOCK, .port = port, .cid = PARENT };
    long fd = call(SOCKET, AF_VSOCK, SOCK_STREAM, 0, 0, 0);
    if (fd < 0) stop("no vsock");
    if (call(CONNECT, fd, (u64)&address, sizeof address, 0, 0) < 0) stop("the parent refuses");
    return fd;
}

static void send(long fd, const u8 *data, u64 size)
{
    while (size) {
        long n = call(WRITE, fd, (u64)data, size, 0, 0);
        if (n <= 0) stop("the parent is gone");
        data += n;
        size -= n;
    }
}

static u8 request[1024], response[0x3000], words[256], buffer[65536];

static u64 put(u64 at, const char *text) /* A CBOR text of up to 23 bytes. */
{
    u64 size = length(text);
    request[at] = 0x60 + size;
    memcpy(request + at + 1, text, size);
    return at + 1 + size;
}

static u64 read_words(void)
{
    char path[] = "/says-0";
    u64 size = 0;
    for (; path[6] <= '9'; path[6]++) {
        long fd = call(OPEN, (u64)path, 0, 0, 0, 0);
        if (fd < 0) continue;
        long n = call(READ, fd, (u64)(words + size), sizeof words - size, 0, 0);
        if (n > 0) size += n;
        call(CLOSE, fd, 0, 0, 0, 0);
    }
    return size;
}

static u64 attest(void)
{
    /* {"Attestation": {"user_data": h'...', "nonce": null, "public_key": null}} */
    u64 size = read_words(), at = 0;
    request[at++] = 0xA1;
    at = put(at, "Attestation");
    request[at++] = 0xA3;
    at = put(at, "user_data");
    request[at++] = 0x58;
    request[at++] = size;
    memcpy(request + at, words, size);
    at = put(at + size, "nonce");
    request[at++] = 0xF6;
    at = put(at, "public_key");
    request[at++] = 0xF6;
    long fd = call(OPEN, (u64)"/dev/nsm", O_RDWR, 0, 0, 0);
    if (fd < 0) stop("no security module");
    struct message message = { { (u64)request, at }, { (u64)response, sizeof response } };
    if (call(IOCTL, fd, NSM_REQUEST, (u64)&message, 0, 0) < 0) stop("it refuses");
    return message.response.length;
}

static void echo(void)
{
    if (call(OPEN, (u64)"/echo", 0, 0, 0, 0) < 0) return;
    long n, fd = parent(ECHO);
    while ((n = call(READ, fd, (u64)buffer, sizeof buffer, 0, 0)) > 0) send(fd, buffer, n);
    call(CLOSE, fd, 0, 0, 0, 0);
}

__attribute__((noreturn)) void _start(void)
{
    u8 beat = 0xB7;
    call(MOUNT, (u64)"dev", (u64)"/dev", (u64)"devtmpfs", 0, 0);
    long fd = parent(HEARTBEAT);
    send(fd, &beat, 1);
    if (call(READ, fd, (u64)&beat, 1, 0, 0) != 1 || beat != 0xB7) stop("no heartbeat");
    call(CLOSE, fd, 0, 0, 0, 0);
    u64 size = attest();
    fd = parent(ANSWER);
    send(fd, response, size);
    call(SHUTDOWN, fd, SHUT_WR, 0, 0, 0);
    call(READ, fd, (u64)&beat, 1, 0, 0); /* Until the parent has it all and hangs up. */
    echo();
    say("probe: done\n");
    restart();
    __builtin_unreachable();
}
