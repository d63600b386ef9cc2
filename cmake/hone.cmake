# One small function for each kind of target. Every target says its sources and what it may use; nothing is global.

# The warnings and options that all code of Hone is compiled with.
add_library(hone_options INTERFACE)
target_compile_features(hone_options INTERFACE cxx_std_20)
target_compile_options(hone_options INTERFACE
  -Wall -Wextra -Wshadow -Wnon-virtual-dtor -Woverloaded-virtual -Werror
  # GCC 12 warns about code inside its own headers at -O2 and above (GCC bugs 105329, 105593).
  $<$<CXX_COMPILER_ID:GNU>:-Wno-restrict -Wno-array-bounds -Wno-stringop-overflow -Wno-maybe-uninitialized>
  # Clang finds what GCC's own headers deprecate.
  $<$<CXX_COMPILER_ID:Clang>:-Wno-deprecated-declarations>)
target_include_directories(hone_options INTERFACE ${PROJECT_SOURCE_DIR})
# A report ends the program, so that its test fails. Not one of `vptr`, which is only printed: that check asks the system through a pipe whether
# an object's memory can be read, and takes good objects for bad ones where no descriptors are left, as server_net_test makes it.
set(HONE_SANITIZE_OPTIONS)
if(HONE_SANITIZE)
  set(HONE_SANITIZE_OPTIONS -fsanitize=${HONE_SANITIZE})
  if(HONE_SANITIZE MATCHES undefined)
    list(APPEND HONE_SANITIZE_OPTIONS -fno-sanitize-recover=undefined -fsanitize-recover=vptr)
  endif()
  target_compile_options(hone_options INTERFACE ${HONE_SANITIZE_OPTIONS} -fno-omit-frame-pointer)
  target_link_options(hone_options INTERFACE -fsanitize=${HONE_SANITIZE})
endif()

# What computes for long is optimised under sanitizers, too, where nothing else is. Tests and commands, which wait for it, are optimised little
# in a release. Together that is half the time of a build.
add_library(hone_computing INTERFACE)
add_library(hone_waiting INTERFACE)
if(HONE_SANITIZE)
  target_compile_options(hone_computing INTERFACE -O1)
else()
  target_compile_options(hone_waiting INTERFACE $<$<CONFIG:Release>:-O1>)
endif()

# Precompiled headers, compiled once (cmake/headers/): `base`, the standard library and Abseil; `wire`, also gRPC and the protos, for what
# depends on hone_proto, itself or through others (HONE_WIRE); and both with GoogleTest. A source still includes what it uses.
# GCC warns of more in the library's headers when they are precompiled; what GCC 12 says there is known (`make test` on Debian 12), and
# other compilers do without.
if(NOT CMAKE_CXX_COMPILER_ID STREQUAL "GNU" OR NOT CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13)
  set(CMAKE_DISABLE_PRECOMPILE_HEADERS ON)
endif()
function(hone_precompiled_headers name)
  set(headers ${PROJECT_SOURCE_DIR}/cmake/headers)
  add_library(hone_headers_${name} OBJECT ${headers}/empty.cc)
  target_link_libraries(hone_headers_${name} PRIVATE hone_options nlohmann_json::nlohmann_json absl::str_format absl::span absl::statusor ${ARGN})
  target_precompile_headers(hone_headers_${name} PRIVATE ${headers}/${name}.h)
endfunction()

function(hone_use_precompiled_headers name suffix)
  set(headers hone_headers_base${suffix})
  foreach(dep IN LISTS ARGN)
    if(dep STREQUAL OpenMP::OpenMP_CXX OR (HONE_SANITIZE AND dep STREQUAL hone_computing))
      return()  # other flags than the headers'
    endif()
    if(TARGET ${dep})
      get_target_property(wire ${dep} HONE_WIRE)
      if(wire)
        set(headers hone_headers_wire${suffix})
        set_target_properties(${name} PROPERTIES HONE_WIRE ON)
      endif()
    endif()
  endforeach()
  target_precompile_headers(${name} REUSE_FROM ${headers})
endfunction()

# Every preset but `dev` compiles the sources of a target eight at a time, as one (CMAKE_UNITY_BUILD), which takes about a third of the time. So the names in the
# unnamed namespaces of a target's SOURCES are all different. APART are those that have a name which another source has, too.
function(hone_compile_apart)
  set_source_files_properties(${ARGN} PROPERTIES SKIP_UNITY_BUILD_INCLUSION ON)
endfunction()

# hone_library(engine_base SOURCES … [APART …] [DEPS …] [PRIVATE_DEPS …]) makes the target hone::engine_base.
function(hone_library name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "" "SOURCES;APART;DEPS;PRIVATE_DEPS")
  hone_compile_apart(${arg_APART})
  add_library(${name} STATIC ${arg_SOURCES} ${arg_APART})
  add_library(hone::${name} ALIAS ${name})
  target_link_libraries(${name} PUBLIC hone_options ${arg_DEPS} PRIVATE ${arg_PRIVATE_DEPS})
  hone_use_precompiled_headers(${name} "" ${arg_DEPS} ${arg_PRIVATE_DEPS})
endfunction()

# hone_binary(hone SOURCES … DEPS …): a program in build/<preset>/bin.
function(hone_binary name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "" "SOURCES;DEPS")
  add_executable(${name} ${arg_SOURCES})
  target_link_libraries(${name} PRIVATE hone_options ${arg_DEPS})
  hone_use_precompiled_headers(${name} "" ${arg_DEPS})
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/bin)
endfunction()

# What `make tsan` builds.
add_custom_target(tsan_tests)

# hone_test(engine_base_test SOURCES … [APART …] DEPS … [TIMEOUT seconds] [PROCESSORS n] [ENVIRONMENT …] [TSAN]): one ctest entry, run by
# GoogleTest's main. PROCESSORS: ctest leaves that many to it. TSAN: the thread sanitizer can judge it: it shares memory between
# threads, and neither gRPC nor oneDNN, which the sanitizer does not understand, is in it.
function(hone_test name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "TSAN" "TIMEOUT;PROCESSORS" "SOURCES;APART;DEPS;ENVIRONMENT")
  hone_compile_apart(${arg_APART})
  if(NOT arg_PROCESSORS)
    set(arg_PROCESSORS 1)
  endif()
  if(NOT arg_TIMEOUT)
    set(arg_TIMEOUT 300)
  endif()
  add_executable(${name} ${arg_SOURCES} ${arg_APART})
  target_link_libraries(${name} PRIVATE hone_options hone_waiting ${arg_DEPS} GTest::gmock_main)
  hone_use_precompiled_headers(${name} _test ${arg_DEPS})
  add_test(NAME ${name} COMMAND ${name})
  set_tests_properties(${name} PROPERTIES
    TIMEOUT ${arg_TIMEOUT} PROCESSORS ${arg_PROCESSORS} ENVIRONMENT "${arg_ENVIRONMENT}")
  if(arg_TSAN)
    set_tests_properties(${name} PROPERTIES LABELS tsan)
    add_dependencies(tsan_tests ${name})
  endif()
endfunction()

# hone_proto(hone_proto PROTOS … [GRPC]): C++ of .proto files found from the folder proto/; with GRPC also the service stubs.
function(hone_proto name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "" "PROTOS")
  set(out ${PROJECT_BINARY_DIR}/generated)
  file(MAKE_DIRECTORY ${out})
  set(sources)
  foreach(proto IN LISTS arg_PROTOS)
    string(REGEX REPLACE "\\.proto$" "" stem ${proto})
    set(generated ${out}/${stem}.pb.cc ${out}/${stem}.grpc.pb.cc)
    add_custom_command(
      OUTPUT ${generated} ${out}/${stem}.pb.h ${out}/${stem}.grpc.pb.h
      COMMAND protobuf::protoc --proto_path=${PROJECT_SOURCE_DIR}/proto --cpp_out=${out} --grpc_out=${out}
              --plugin=protoc-gen-grpc=$<TARGET_FILE:gRPC::grpc_cpp_plugin> ${PROJECT_SOURCE_DIR}/proto/${proto}
      DEPENDS ${PROJECT_SOURCE_DIR}/proto/${proto} VERBATIM)
    list(APPEND sources ${generated})
  endforeach()
  add_library(${name} STATIC ${sources})
  add_library(hone::${name} ALIAS ${name})
  target_compile_features(${name} PUBLIC cxx_std_20)
  target_include_directories(${name} SYSTEM PUBLIC ${out})
  target_link_libraries(${name} PUBLIC gRPC::grpc++ protobuf::libprotobuf)
  target_precompile_headers(${name} PRIVATE <grpcpp/grpcpp.h> <google/protobuf/message.h>)
  set_target_properties(${name} PROPERTIES HONE_WIRE ON UNITY_BUILD OFF)
  if(HONE_SANITIZE)
    target_compile_options(${name} PRIVATE ${HONE_SANITIZE_OPTIONS})
  endif()
endfunction()

# hone_messages(onnx_proto PROTOS …): C++ of .proto files without services, for those who know no gRPC.
function(hone_messages name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "" "PROTOS")
  set(out ${PROJECT_BINARY_DIR}/messages)
  file(MAKE_DIRECTORY ${out})
  set(sources)
  foreach(proto IN LISTS arg_PROTOS)
    string(REGEX REPLACE "\\.proto$" "" stem ${proto})
    add_custom_command(
      OUTPUT ${out}/${stem}.pb.cc ${out}/${stem}.pb.h
      COMMAND protobuf::protoc --proto_path=${PROJECT_SOURCE_DIR}/proto --cpp_out=${out} ${PROJECT_SOURCE_DIR}/proto/${proto}
      DEPENDS ${PROJECT_SOURCE_DIR}/proto/${proto} VERBATIM)
    list(APPEND sources ${out}/${stem}.pb.cc)
  endforeach()
  add_library(${name} STATIC ${sources})
  add_library(hone::${name} ALIAS ${name})
  target_compile_features(${name} PUBLIC cxx_std_20)
  target_include_directories(${name} SYSTEM PUBLIC ${out})
  target_link_libraries(${name} PUBLIC protobuf::libprotobuf)
  set_target_properties(${name} PROPERTIES UNITY_BUILD OFF)
  if(HONE_SANITIZE)
    target_compile_options(${name} PRIVATE -fsanitize=${HONE_SANITIZE})
  endif()
endfunction()
