# The eBPF programs, compiled into an object that becomes part of wgvitals_trace. Without clang or
# libbpf 1 we are built without them; libbpf itself is loaded when it is first wanted.
find_program(WGVITALS_BPF_CLANG NAMES clang-14 clang DOC "clang with the target bpf")
find_program(WGVITALS_BPF_STRIP NAMES llvm-strip-14 llvm-strip DOC "Takes debug information off, if it is there")
find_path(WGVITALS_BPF_INCLUDE bpf/libbpf_version.h DOC "Where libbpf's headers are")

set(missing "")
if(NOT WGVITALS_BPF_CLANG)
  list(APPEND missing "clang (Debian: clang-14)")
endif()
set(version "")
if(WGVITALS_BPF_INCLUDE)
  file(STRINGS ${WGVITALS_BPF_INCLUDE}/bpf/libbpf_version.h version
    REGEX "LIBBPF_MAJOR_VERSION [1-9]")
endif()
if(NOT version)
  list(APPEND missing "libbpf 1 (Debian: libbpf-dev)")
endif()
if(missing)
  list(JOIN missing " and " missing)
  message(STATUS "Without eBPF: that takes ${missing}")
  target_sources(wgvitals_trace PRIVATE trace/ebpf/absent.cpp)
  return()
endif()

set(multiarch "")
if(CMAKE_LIBRARY_ARCHITECTURE)
  set(multiarch -idirafter /usr/include/${CMAKE_LIBRARY_ARCHITECTURE})  # asm/types.h
endif()
# NAME.bpf.c becomes an object whose path NAME.cpp has as a macro. With debug information, because
# BTF is made from it.
function(wgvitals_ebpf name macro)
  set(object ${CMAKE_CURRENT_BINARY_DIR}/${name}.bpf.o)
  set(strip "")
  if(WGVITALS_BPF_STRIP)
    set(strip COMMAND ${WGVITALS_BPF_STRIP} -g ${object})  # leaves BTF
  endif()
  add_custom_command(OUTPUT ${object}
    COMMAND ${WGVITALS_BPF_CLANG} -target bpf -O2 -g -fdebug-compilation-dir=.
      -Wall -Wextra -Wno-unused-parameter $<$<BOOL:${WGVITALS_WERROR}>:-Werror>
      -I. -isystem ${WGVITALS_BPF_INCLUDE} ${multiarch} -MD -MF ${object}.d -MT ${object}
      -c common/trace/ebpf/${name}.bpf.c -o ${object}
    ${strip}
    DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/trace/ebpf/${name}.bpf.c DEPFILE ${object}.d
    WORKING_DIRECTORY ${PROJECT_SOURCE_DIR} COMMENT "Compiling the eBPF programs of ${name}" VERBATIM)
  target_sources(wgvitals_trace PRIVATE trace/ebpf/${name}.cpp)
  set_source_files_properties(trace/ebpf/${name}.cpp PROPERTIES
    OBJECT_DEPENDS ${object} COMPILE_DEFINITIONS ${macro}="${object}")
endfunction()

wgvitals_ebpf(crypto_cpu WGVITALS_CRYPTO_CPU_OBJECT)
wgvitals_ebpf(refused WGVITALS_REFUSED_OBJECT)
target_sources(wgvitals_trace PRIVATE
  trace/ebpf/libbpf.cpp trace/ebpf/btf_types.cpp trace/ebpf/programs.cpp)
target_compile_definitions(wgvitals_trace PUBLIC WGVITALS_EBPF)
target_include_directories(wgvitals_trace SYSTEM PRIVATE ${WGVITALS_BPF_INCLUDE})
