# cmake --install with GNU paths, and two Debian packages by CPack: minivlm-server (both programs) and
# minivlm-model-base (the weights, under a different licence). scripts/package.sh builds and tests them.
include(GNUInstallDirs)

set(made ${PROJECT_BINARY_DIR}/package)

# Manual pages and completions are generated from the tables behind --help.
set(documents)
foreach(program minivlm minivlm-server)
  set(section 1)
  if(program STREQUAL "minivlm-server")
    set(section 8)
  endif()
  add_custom_command(OUTPUT ${made}/${program}.${section}.gz ${made}/${program}.bash ${made}/_${program}
                     COMMAND ${CMAKE_COMMAND} -E make_directory ${made}
                     COMMAND ${program} --print-man > ${made}/${program}.${section}
                     COMMAND gzip -9nf ${made}/${program}.${section}
                     COMMAND ${program} --print-completion=bash > ${made}/${program}.bash
                     COMMAND ${program} --print-completion=zsh > ${made}/_${program}
                     DEPENDS ${program} VERBATIM)
  list(APPEND documents ${made}/${program}.${section}.gz ${made}/${program}.bash ${made}/_${program})
  install(FILES ${made}/${program}.${section}.gz DESTINATION ${CMAKE_INSTALL_MANDIR}/man${section} COMPONENT programs)
  install(FILES ${made}/${program}.bash DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions
          RENAME ${program} COMPONENT programs)
  install(FILES ${made}/_${program} DESTINATION ${CMAKE_INSTALL_DATADIR}/zsh/vendor-completions COMPONENT programs)
endforeach()
add_custom_command(OUTPUT ${made}/CHANGELOG.md.gz DEPENDS CHANGELOG.md VERBATIM
                   COMMAND gzip -9nc ${PROJECT_SOURCE_DIR}/CHANGELOG.md > ${made}/CHANGELOG.md.gz)
list(APPEND documents ${made}/CHANGELOG.md.gz)
# Who answers for a package is who builds it, named as for Debian's own tools.
set(MINIVLM_MAINTAINER "minivlm-server maintainers <minivlm-server@localhost>" CACHE STRING "Maintainer of the packages")
set(maintainer "${MINIVLM_MAINTAINER}")
if(NOT "$ENV{DEBFULLNAME}" STREQUAL "" AND NOT "$ENV{DEBEMAIL}" STREQUAL "")
  set(maintainer "$ENV{DEBFULLNAME} <$ENV{DEBEMAIL}>")
endif()
string(TIMESTAMP date "%a, %d %b %Y %H:%M:%S +0000" UTC) # SOURCE_DATE_EPOCH, if it is set
foreach(package minivlm-server minivlm-model-base)
  configure_file(deploy/debian/changelog.in ${made}/${package}/changelog @ONLY)
  add_custom_command(OUTPUT ${made}/${package}/changelog.gz DEPENDS ${made}/${package}/changelog VERBATIM
                     COMMAND gzip -9nkf ${made}/${package}/changelog)
  list(APPEND documents ${made}/${package}/changelog.gz)
endforeach()
add_custom_target(documents ALL DEPENDS ${documents})

install(TARGETS minivlm minivlm-server DESTINATION ${CMAKE_INSTALL_BINDIR} COMPONENT programs)
# The unit and the configuration name absolute paths, so they are written when the prefix is known for certain.
install(CODE "set(bin_dir [[${CMAKE_INSTALL_BINDIR}]])
set(data_dir [[${CMAKE_INSTALL_DATADIR}]])
set(etc_dir [[${CMAKE_INSTALL_SYSCONFDIR}]])
set(made [[${made}]])" COMPONENT programs)
install(SCRIPT deploy/install_paths.cmake COMPONENT programs)
install(FILES deploy/debian/copyright NOTICE README.md ${made}/CHANGELOG.md.gz
        ${made}/minivlm-server/changelog.gz docs/api.md docs/configuration.md docs/operations.md
        DESTINATION ${CMAKE_INSTALL_DATADIR}/doc/minivlm-server COMPONENT programs)
file(GLOB model_files CONFIGURE_DEPENDS models/minivlm-base/*)
install(FILES ${model_files} DESTINATION ${CMAKE_INSTALL_DATADIR}/minivlm/models/minivlm-base COMPONENT model)
install(FILES deploy/debian/copyright ${made}/minivlm-model-base/changelog.gz
        DESTINATION ${CMAKE_INSTALL_DATADIR}/doc/minivlm-model-base COMPONENT model)

set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(config_dir /etc/minivlm-server) # as in deploy/install_paths.cmake
if(IS_ABSOLUTE "${CMAKE_INSTALL_SYSCONFDIR}")
  set(config_dir ${CMAKE_INSTALL_SYSCONFDIR}/minivlm-server)
endif()
configure_file(deploy/debian/postrm.in ${made}/postrm @ONLY)
set(CPACK_PACKAGE_CONTACT "${maintainer}")
set(CPACK_PACKAGE_VERSION ${PROJECT_VERSION})
set(CPACK_STRIP_FILES ON)
set(CPACK_DEB_COMPONENT_INSTALL ON)
set(CPACK_COMPONENTS_ALL programs model)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_PACKAGE_SECTION science)
set(CPACK_DEBIAN_PROGRAMS_PACKAGE_NAME minivlm-server)
set(CPACK_DEBIAN_PROGRAMS_DESCRIPTION "captions, answers and matches for photographs over HTTP
A service and a command line that describe photographs, answer questions
about them and match them with sentences, on plain CPUs.")
set(CPACK_DEBIAN_PROGRAMS_PACKAGE_DEPENDS "minivlm-model-base, procps")
set(CPACK_DEBIAN_PROGRAMS_PACKAGE_CONTROL_EXTRA
    "${PROJECT_SOURCE_DIR}/deploy/debian/postinst;${PROJECT_SOURCE_DIR}/deploy/debian/prerm;${made}/postrm;${made}/conffiles")
file(WRITE ${made}/conffiles "${config_dir}/config.json\n")
set(CPACK_DEBIAN_MODEL_PACKAGE_NAME minivlm-model-base)
set(CPACK_DEBIAN_MODEL_PACKAGE_ARCHITECTURE all)
set(CPACK_DEBIAN_MODEL_PACKAGE_SHLIBDEPS OFF)
set(CPACK_DEBIAN_MODEL_DESCRIPTION "MiniVLM weights for minivlm-server, for research and non-commercial use only
A small vision-language model; its README.md says what it can and cannot do.
The weights derive from photographs that were released for research: they are
not free software.")
set(CPACK_DEBIAN_MODEL_PACKAGE_SECTION non-free/science)
include(CPack)
