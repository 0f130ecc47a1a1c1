# A guest of one sector that sends numbered messages to another one like it, by its second serial port, and receives the other's.
# Both keep in memory what they have sent and received: messenger.ts reads it.
#
# A message is its number, a u32, byte by byte; the first is 1. Its sender counts it before the first byte goes out, its receiver
# after the last one has come in. Nobody is more than 16 messages ahead of the other, so the line never overflows.

.set record, 0x7e00             # the mark, then:
.set sent, record + 8
.set received, record + 12
.set wrong, record + 16         # how many messages had another number than the one that was due
.set message, record + 20       # the one that is coming in
.set window, 16
.set port, 0x2f8

.code16
.globl _start
_start:
  ljmp $0, $begin
begin:
  xorw %ax, %ax
  movw %ax, %ds
  movw %ax, %ss
  movw $0x7c00, %sp
  movl $0x4c495453, record      # "STILLPNT"
  movl $0x544e504c, record + 4
  xorl %eax, %eax
  movl %eax, sent
  movl %eax, received
  movl %eax, wrong
  xorw %cx, %cx                 # bytes of the message that have come in

  movb $0x34, %al               # the timer: channel 0, about 1000 times a second
  outb %al, $0x43
  movb $0xa9, %al
  outb %al, $0x40
  movb $0x04, %al
  outb %al, $0x40

turn:
  sti
  hlt                           # until the timer's next interrupt
receive:
  movw $port + 5, %dx
  inb %dx, %al
  testb $1, %al
  jz send
  movw $port, %dx
  inb %dx, %al
  movw %cx, %bx
  movb %al, message(%bx)
  incw %cx
  cmpw $4, %cx
  jb receive
  xorw %cx, %cx
  movl received, %eax
  incl %eax
  cmpl message, %eax
  je due
  incl wrong
due:
  movl message, %eax
  movl %eax, received
  jmp receive

send:
  movl sent, %eax
  subl received, %eax
  cmpl $window, %eax
  jge turn
  incl sent
  movl sent, %ebx
  movb $4, %ah
each_byte:
  movw $port + 5, %dx
wait:
  inb %dx, %al
  testb $0x20, %al
  jz wait
  movw $port, %dx
  movb %bl, %al
  outb %al, %dx
  shrl $8, %ebx
  decb %ah
  jnz each_byte
  jmp turn

.org 0x1fe
  .word 0xaa55
