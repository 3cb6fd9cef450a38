import { Body, Controller, Delete, Get, HttpCode, Param, Patch, Post, Query } from '@nestjs/common';
import { ApiOperation, ApiResponse, ApiTags } from '@nestjs/swagger';
import {
  client,
  clientPage,
  createClientBody,
  issuedClient,
  listClientsQuery,
  patchClientBody,
  slug,
  type Client,
  type CreateClientBody,
  type IssuedClient,
  type ListClientsQuery,
  type PatchClientBody,
} from '#contracts';
import { ByAdmin, FullAdmin, type By } from '../full-admin.js';
import { Clients } from './clients.js';

/** Service accounts. */
@ApiTags('Clients')
@Controller('v1/clients')
@FullAdmin()
export class ClientsController {
  constructor(private readonly clients: Clients) {}

  @Post()
  @ApiOperation({ summary: 'Add a service account; its secret is shown this once' })
  @ApiResponse({ status: 201, standardSchema: issuedClient })
  create(
    @Body({ schema: createClientBody }) body: CreateClientBody,
    @ByAdmin() by: By,
  ): Promise<IssuedClient> {
    return this.clients.create(body, by);
  }

  @Get()
  @ApiOperation({ summary: 'List service accounts' })
  @ApiResponse({ status: 200, standardSchema: clientPage })
  list(@Query({ schema: listClientsQuery }) query: ListClientsQuery) {
    return this.clients.list(query);
  }

  @Patch(':id')
  @ApiOperation({ summary: 'Change a service account, enable or disable it' })
  @ApiResponse({ status: 200, standardSchema: client })
  patch(
    @Param('id', { schema: slug }) id: string,
    @Body({ schema: patchClientBody }) body: PatchClientBody,
    @ByAdmin() by: By,
  ): Promise<Client> {
    return this.clients.patch(id, body, by);
  }

  @Delete(':id')
  @HttpCode(204)
  @ApiOperation({ summary: 'Remove a service account' })
  @ApiResponse({ status: 204, description: 'Removed' })
  remove(@Param('id', { schema: slug }) id: string, @ByAdmin() by: By): Promise<void> {
    return this.clients.remove(id, by);
  }

  @Post(':id/secret')
  @HttpCode(200)
  @ApiOperation({ summary: 'Replace the secret; the old one is dead at once' })
  @ApiResponse({ status: 200, standardSchema: issuedClient })
  replaceSecret(
    @Param('id', { schema: slug }) id: string,
    @ByAdmin() by: By,
  ): Promise<IssuedClient> {
    return this.clients.replaceSecret(id, by);
  }
}
