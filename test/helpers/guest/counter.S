# A guest of one sector. It counts, and keeps the count in lock-step in its memory, on its disks and on its serial line, so
# that a test can tell whether a copy of them all is of one instant: counter-record.ts reads and judges them.
#
# Every tick n, in this order:
#   1. count = n in the record (memory, below)
#   2. n into 16 pages of memory from 2 MiB on, the next 16 with each tick, round and round
#   3. for each disk: the record to sector 1 and to sector 16 + n mod (log_mask + 1); then done[disk] = n in the record
#   4. n as eight hexadecimal digits and a line feed to the first serial port
#
# When it starts it takes the count from the first disk, and goes on from there.

.set record, 0x7e00             # also the sector that is written
.set count, record + 8
.set done, record + 12          # a u32 for each of up to four disks
.set memory, 0x200000

.code16
.globl _start
_start:
  ljmp $0, $begin
begin:
  xorw %ax, %ax
  movw %ax, %ds
  movw %ax, %es
  movw %ax, %ss
  movw $0x7c00, %sp
  cld

  movb $0x34, %al               # the timer: channel 0, rate generator
  outb %al, $0x43
  movw divisor, %ax
  outb %al, $0x40
  movb %ah, %al
  outb %al, $0x40

  movb $0x80, %dl               # what was counted before
  movl $1, sector
  movb $0x42, %ah
  call disk
  movl $0x4c495453, record      # "STILLPNT"
  movl $0x544e504c, record + 4

tick:
  sti
  hlt                           # until the timer's next interrupt
  incl count

  cli                           # segment fs without a limit; the BIOS puts it back at each call
  lgdt table
  movl %cr0, %eax
  orb $1, %al
  movl %eax, %cr0
  movw $8, %bx
  movw %bx, %fs
  andb $0xfe, %al
  movl %eax, %cr0
  sti
  movl count, %eax
  movl %eax, %ebx
  shll $4, %ebx
  movw $16, %cx
page:
  movl %ebx, %edi
  andl page_mask, %edi
  shll $12, %edi
  movl %eax, %fs:memory(%edi)
  incl %ebx
  loop page

  movb $0x80, %dl
  movw $done, %di
each_disk:
  movl $1, sector
  movb $0x43, %ah
  call disk
  movl count, %eax
  andl log_mask, %eax
  addl $16, %eax
  movl %eax, sector
  movb $0x43, %ah
  call disk
  movl count, %eax
  movl %eax, (%di)
  addw $4, %di
  incb %dl
  movb %dl, %al
  subb $0x80, %al
  cmpb disks, %al
  jb each_disk

  movl count, %ebx
  movw $8, %cx
digit:
  roll $4, %ebx
  movb %bl, %al
  andb $15, %al
  cmpb $10, %al
  sbbb $0x69, %al               # 0 to 15 as an ASCII digit
  das
  call print
  loop digit
  movb $10, %al
  call print
  jmp tick

print:                          # al
  movb %al, %ah
  movw $0x3fd, %dx
wait:
  inb %dx, %al
  testb $0x20, %al
  jz wait
  movw $0x3f8, %dx
  movb %ah, %al
  outb %al, %dx
  ret

disk:                           # ah: 0x42 reads, 0x43 writes the record; dl: the drive; sector
  pushw %di
  pushw %dx
  movb $0, %al
  movw $packet, %si
  int $0x13
  popw %dx
  popw %di
  jc failed
  ret
failed:                         # never counts on with a write lost
  movb $'!', %al
  call print
  cli
  hlt
  jmp failed

.balign 4
packet:                         # EDD's disk address packet
  .word 16, 1, record, 0
sector:
  .long 0, 0
descriptors:                    # none, and one of 4 GiB of data from 0
  .quad 0
  .quad 0x00cf92000000ffff
table:
  .word 15
  .long descriptors

# What a test sets: counter-guest.ts writes these.
.org 0x1f0
divisor:   .word 11932          # of 1193182 Hz
log_mask:  .long 255
page_mask: .long 1023
disks:     .byte 2
.org 0x1fe
  .word 0xaa55
