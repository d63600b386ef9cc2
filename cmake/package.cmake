# What is installed, and the Debian package of it: `make deb`. The two programs that people call are links into a folder of their own, where honed and hone find
# the programs that only they start.
set(HONE_PROGRAMS libexec/hone)
install(TARGETS hone honed hone-worker hone-sentencepiece RUNTIME DESTINATION ${HONE_PROGRAMS})
install(CODE [[
  set(root "$ENV{DESTDIR}${CMAKE_INSTALL_PREFIX}")
  file(MAKE_DIRECTORY "${root}/bin")
  foreach(program IN ITEMS hone honed)
    file(CREATE_LINK ../libexec/hone/${program} "${root}/bin/${program}" SYMBOLIC)
  endforeach()
]])
install(DIRECTORY client/examples/ DESTINATION share/doc/hone/examples)
# Manual pages and what completes commands in three shells, which the programs write about themselves (the target handbook).
set(HONE_HANDBOOK ${PROJECT_BINARY_DIR}/share)
install(DIRECTORY ${HONE_HANDBOOK}/man DESTINATION share OPTIONAL)
install(DIRECTORY ${HONE_HANDBOOK}/completions/bash/ DESTINATION share/bash-completion/completions OPTIONAL)
install(DIRECTORY ${HONE_HANDBOOK}/completions/zsh/ DESTINATION share/zsh/vendor-completions OPTIONAL)
install(DIRECTORY ${HONE_HANDBOOK}/completions/fish/ DESTINATION share/fish/vendor_completions.d OPTIONAL)
# All that `make deb` builds.
add_custom_target(package_files DEPENDS hone honed hone-worker hone-sentencepiece)
if(TARGET handbook)
  add_dependencies(package_files handbook)
endif()

set(CPACK_GENERATOR DEB)
set(CPACK_SET_DESTDIR ON)  # /etc and /usr are where they are, whatever the prefix of an install without a package
set(CPACK_INSTALL_PREFIX /usr)
set(CPACK_STRIP_FILES ON)
set(CPACK_INSTALL_DEFAULT_DIRECTORY_PERMISSIONS OWNER_READ OWNER_WRITE OWNER_EXECUTE GROUP_READ GROUP_EXECUTE WORLD_READ WORLD_EXECUTE)
set(CMAKE_SKIP_INSTALL_ALL_DEPENDENCY ON)  # a package of the programs waits for no test to be built
set(CPACK_PACKAGE_NAME hone)
set(CPACK_PACKAGE_VERSION ${PROJECT_VERSION})
set(CPACK_PACKAGE_CONTACT "The developers of Hone <hone@example.org>")
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "trains and fine-tunes neural networks on processors, as a service")
set(CPACK_PACKAGE_DESCRIPTION "A gRPC server with a queue that survives kills, a worker process for
each job, and a command line. The service honed listens on this machine
alone until /etc/hone/honed.ini says otherwise.")
set(CPACK_PACKAGE_DIRECTORY ${PROJECT_BINARY_DIR}/deb)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_SECTION science)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_PACKAGE_DEPENDS "ca-certificates, systemd | systemd-standalone-sysusers")
set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION ON)
set(CPACK_DEBIAN_COMPRESSION_TYPE xz)

# What only the package has: the service, its user and settings, and what Debian wants to read.
set(HONE_DEBIAN ${PROJECT_BINARY_DIR}/debian)
set(CPACK_DEBIAN_PACKAGE_CONTROL_EXTRA ${HONE_DEBIAN}/conffiles ${HONE_DEBIAN}/postinst ${HONE_DEBIAN}/prerm ${HONE_DEBIAN}/postrm)
file(MAKE_DIRECTORY ${HONE_DEBIAN})
foreach(file IN ITEMS conffiles postinst prerm postrm)
  configure_file(deploy/debian/${file} ${HONE_DEBIAN}/${file} COPYONLY)
endforeach()
find_program(GZIP gzip REQUIRED)
configure_file(deploy/debian/changelog ${HONE_DEBIAN}/changelog COPYONLY)
execute_process(COMMAND ${GZIP} -9nkf ${HONE_DEBIAN}/changelog COMMAND_ERROR_IS_FATAL ANY)
install(FILES deploy/systemd/honed.service DESTINATION lib/systemd/system)
install(FILES deploy/systemd/hone.sysusers DESTINATION lib/sysusers.d RENAME hone.conf)
install(FILES deploy/systemd/honed.ini DESTINATION /etc/hone)
install(FILES deploy/debian/copyright ${HONE_DEBIAN}/changelog.gz DESTINATION share/doc/hone)
install(FILES deploy/README.md DESTINATION share/doc/hone RENAME deploy.md)
install(CODE "
  file(GLOB_RECURSE pages \"\$ENV{DESTDIR}\${CMAKE_INSTALL_PREFIX}/share/man/*.[1-8]\")
  foreach(page IN LISTS pages)
    execute_process(COMMAND ${GZIP} -9nf \"\${page}\" COMMAND_ERROR_IS_FATAL ANY)
  endforeach()
")
include(CPack)
